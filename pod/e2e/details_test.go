package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kinopod/pod/config"
	"kinopod/pod/federation"
	"kinopod/pod/podtest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// A friend that is slow, silent or a liar is asked once at a time, and for a while; and it
// is told of this pod's own videos only.
func TestDetailsOfAStrangeFriend(t *testing.T) {
	t.Parallel()
	h := startHostilePod(t, "Strange")
	text := strings.Repeat("x", video.MaxText)
	good := h.list(federation.Video{Name: "Good", Uploader: "x"}, federation.Details{Description: text})
	large := h.list(federation.Video{Name: "Large", Uploader: "x"}, federation.Details{Description: text + "x"})
	silent := h.list(federation.Video{Name: "Silent", Uploader: "x"}, federation.Details{})
	var asked, dumb atomic.Int64
	proceed := make(chan struct{})
	h.hold = func(ctx context.Context) {
		asked.Add(1)
		if dumb.Load() > 0 {
			<-ctx.Done() // until the other side gives up
			return
		}
		<-proceed
	}
	p := podtest.Start(t, func(c *config.Config) { c.Friends = []string{string(h.host)} })
	c := api.NewClient(p.URL, "")
	podtest.Eventually(t, "the pod lists them", func() bool {
		page, err := c.Videos(t.Context(), api.VideosQuery{})
		return err == nil && len(page.Videos) == 3
	})

	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if d, err := c.Details(t.Context(), good); err != nil || d.Description != text {
				t.Errorf("%d bytes, %v", len(d.Description), err)
			}
		})
	}
	podtest.Eventually(t, "the friend is asked", func() bool { return asked.Load() > 0 })
	close(proceed)
	all.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the friend was asked %d times at once", n)
	}
	for range 3 {
		if _, err := c.Details(t.Context(), large); !api.Is(err, api.CodeUnavailable) {
			t.Errorf("more than there is room for: %v", err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the friend was asked %d times: what fails is not asked for again at once", n)
	}
	dumb.Store(1)
	if _, err := c.Details(t.Context(), silent); !api.Is(err, api.CodeUnavailable) {
		t.Errorf("no answer: %v", err)
	}

	own, _ := p.User(t, "anna", api.RoleUser).Film(t, podtest.WebM)
	status, answer := h.ask(p.Host(), federation.PathDetails, federation.DetailsRequest{ID: own.ID, Watch: true})
	if d, err := federation.ParseDetails(answer); status != http.StatusOK || err != nil || d.Members || d.Pass != nil {
		t.Errorf("of its own video a pod says %d %s, %v", status, answer, err)
	}
	for _, id := range []video.ID{good, video.NewID("nobody.example")} {
		if status, _ := h.ask(p.Host(), federation.PathDetails, federation.DetailsRequest{ID: id}); status != http.StatusNotFound {
			t.Errorf("of another's video: %d", status)
		}
	}
}
