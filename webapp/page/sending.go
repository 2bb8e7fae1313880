package page

import (
	"sync/atomic"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/webapp/upload"
)

// sending is the sign in the header that files go up while another screen is shown.
type sending struct {
	component

	env   *Env
	dirty atomic.Bool // the queue changed since it was last shown
	stop  func()      // of the queue's changes; nil while there is no queue
}

// sendingEvery is the time between two looks at the queue, which changes some hundred
// times a second.
const sendingEvery = 500 * time.Millisecond

// OnMount implements app.Mounter.
func (s *sending) OnMount(ctx app.Context) {
	s.ctx = ctx
	s.follow()
}

// follow begins to show the queue; it is called again when there is one.
func (s *sending) follow() {
	if s.ctx == nil || s.env.queue == nil || s.stop != nil {
		return
	}
	s.stop = s.env.queue.Watch(func() {
		if s.dirty.Swap(true) {
			return
		}
		time.AfterFunc(sendingEvery, func() {
			s.dirty.Store(false)
			s.ctx.Dispatch(func(app.Context) {})
		})
	})
}

// moved is called when another screen is shown.
func (s *sending) moved() {
	if s.ctx != nil {
		s.Update()
	}
}

// Render implements app.Composer. The element stays, so that what is behind it keeps its
// place.
func (s *sending) Render() app.UI {
	if s.env.queue == nil || s.env.frame.url.Path == "/upload" || !s.env.queue.Busy() {
		return elem("div").Class("top-sending").Attr("hidden", true)
	}
	done, size := progressOf(s.env.queue.Items())
	share := formatShare(done, size)
	return elem("div").Class("top-sending").Attr("hidden", false).Body(
		elem("a").Class("sending").Attr("href", "/upload").Aria("label", "Uploading: "+share).Title("Uploads").Body(
			elem("span").Aria("hidden", true).Text(share),
			elem("progress").Attr("max", float64(max(size, 1))).Attr("value", float64(done)).Aria("hidden", true),
		),
	)
}

// progressOf is how many bytes of what is going up went up.
func progressOf(items []upload.Item) (done, size int64) {
	for _, it := range items {
		if !it.Ended() {
			done, size = done+it.Bytes, size+it.Size
		}
	}
	return done, size
}
