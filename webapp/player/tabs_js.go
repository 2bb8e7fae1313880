package player

import (
	"context"
	"log/slog"
	"syscall/js"
	"time"

	"kinopod/shared/magnet"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/swarm"
)

// Times between tabs of one video.
const (
	askEvery = time.Second
	askLasts = 3 * time.Second // a tab that asked is told for so long
)

// claim waits until no other tab has the video open. One tab has its store and its
// engine; the service worker brings the others their bytes from there. When that tab
// closes, however it ends, the next one is let in.
func claim(ctx context.Context, video magnet.InfoHash) (release func(), err error) {
	locks := js.Global().Get("navigator").Get("locks")
	if locks.IsUndefined() { // nor are there service workers
		return func() {}, nil
	}
	granted, abort := make(chan struct{}), js.Global().Get("AbortController").New()
	var end js.Value
	var hold, executor, settled js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any { end = args[0]; return nil })
	hold = js.FuncOf(func(js.Value, []js.Value) any {
		if ctx.Err() != nil {
			return nil
		}
		close(granted)
		return js.Global().Get("Promise").New(executor)
	})
	settled = js.FuncOf(func(js.Value, []js.Value) any {
		executor.Release()
		hold.Release()
		settled.Release()
		return nil
	})
	locks.Call("request", piecestore.LockName(video), map[string]any{"signal": abort.Get("signal")}, hold).Call("then", settled, settled)
	select {
	case <-granted:
		return func() { end.Invoke() }, nil
	case <-ctx.Done():
		abort.Call("abort")
		return nil, ctx.Err()
	}
}

// channel is how tabs talk.
type channel struct {
	js        js.Value // BroadcastChannel
	onMessage js.Func
}

var _ swarm.Siblings = (*channel)(nil)

func openChannel(name string, f func(text string)) *channel {
	c := &channel{js: js.Global().Get("BroadcastChannel").New(name)}
	c.onMessage = js.FuncOf(func(_ js.Value, args []js.Value) any {
		if data := args[0].Get("data"); data.Type() == js.TypeString {
			f(data.String())
		}
		return nil
	})
	c.js.Set("onmessage", c.onMessage)
	return c
}

// Say tells all tabs, and what else has opened it in this one.
func (c *channel) Say(text []byte) { c.js.Call("postMessage", string(text)) }

// Close ends what Say and f do.
func (c *channel) Close() {
	c.js.Set("onmessage", js.Null())
	c.js.Call("close")
	c.onMessage.Release()
}

// openSiblings opens the channel of all engines of this browser, whatever their videos.
func openSiblings(heard func(text []byte)) swarm.Siblings {
	if js.Global().Get("BroadcastChannel").IsUndefined() {
		return nil
	}
	return openChannel("kinopod-upload", func(text string) { heard([]byte(text)) })
}

// Of one video, tabs without the engine say ask, and the one with it tells how the swarm
// is (share.go).
const ask = "ask"

func openVideo(video magnet.InfoHash, f func(text string)) *channel {
	return openChannel(piecestore.LockName(video), f)
}

// follow tells the watchers of s what the tab with the engine says, until ctx ends.
func (p *player) follow(ctx context.Context, s *showing) {
	c := openVideo(s.video.Renditions[0].InfoHash, func(text string) {
		stats, err := readShared([]byte(text))
		if err != nil || ctx.Err() != nil {
			return
		}
		s.beside = true
		if d := p.element.Get("duration").Float(); d > 0 {
			stats.Playhead = p.element.Get("currentTime").Float() / d
		}
		for _, f := range p.watchers {
			f(stats)
		}
	})
	defer c.Close()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		c.Say([]byte(ask))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// teller tells other tabs of the same video how the swarm is, where they ask.
type teller struct {
	*channel
	asked time.Time
}

func newTeller(video magnet.InfoHash) *teller {
	t := &teller{}
	t.channel = openVideo(video, func(text string) {
		if text == ask {
			t.asked = time.Now()
		}
	})
	return t
}

func (t *teller) tell(s swarm.Stats) {
	if time.Since(t.asked) < askLasts {
		b, err := writeShared(s)
		if err != nil {
			slog.Error("tell other tabs", "err", err)
			return
		}
		t.Say(b)
	}
}
