package podtest

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"kinopod/build/leak"
)

// fasthttp's own goroutines end some seconds after their server, or never; tusd's
// a second after the request.
func TestMain(m *testing.M) {
	os.Exit(leak.Run(
		m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/tus/tusd/v2/pkg/handler.newDelayedContext.func1"),
	))
}
