package swarm

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A player that stands still gets the bytes it asks for as they come, and not when their
// piece is whole; and nothing comes twice.
func TestASeekDoesNotWaitForAWholePiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8<<20, 1<<20)
		w.latency, w.webSeedDelay = 10*time.Millisecond, 10*time.Millisecond // 650 ms a piece
		e := w.engine(nil)
		time.Sleep(6 * time.Second)
		ctx := within(t, time.Minute)
		const seek = 3<<20 + 700<<10
		e.SetPlayback(Playback{Stalled: true})
		began := time.Now()
		c, err := e.Read(ctx, seek, 256<<10)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the first bytes came after %s", took)
		}
		if !bytes.Equal(c.Bytes(), w.data[seek:seek+c.Len()]) {
			t.Error("the bytes differ")
		}
		if err := w.readAll(ctx, e, seek+c.Len()); err != nil {
			t.Error(err)
		}
		e.SetPlayback(Playback{Buffered: 16})
		w.until("all is here", time.Minute, func() bool { return statsOf(t, e).FromWebSeed == int64(len(w.data)) })
		if n := w.fromWebSeed(); n != int64(len(w.data)) {
			t.Errorf("the web seed gave %d bytes for %d", n, len(w.data))
		}
	})
}

// readsInTheMiddle is a viewer who stands still after a seek, and has read from the middle of
// a piece.
func readsInTheMiddle(t *testing.T) (*world, *Engine, context.Context) {
	w := newWorld(t, 8<<20, 1<<20)
	w.latency, w.webSeedDelay = 10*time.Millisecond, 10*time.Millisecond
	e := w.engine(nil)
	time.Sleep(6 * time.Second)
	ctx := within(t, time.Minute)
	e.SetPlayback(Playback{Stalled: true})
	if _, err := e.Read(ctx, 3<<20+700<<10, 256<<10); err != nil {
		t.Fatal(err)
	}
	return w, e, ctx
}

// A reader that goes back to the head of a piece that comes from its middle on does not
// wait for what is after it.
func TestBackToTheHeadOfAPieceThatComes(t *testing.T) {
	for _, after := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond} { // the rest of the piece is coming, is here
		synctest.Test(t, func(t *testing.T) {
			w, e, ctx := readsInTheMiddle(t)
			time.Sleep(after)
			began := time.Now()
			if _, err := e.Read(ctx, 3<<20, 256<<10); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("after %s: %s", after, took)
			}
			if err := w.readAll(ctx, e, 3<<20); err != nil {
				t.Error(err)
			}
		})
	}
}

// A web seed that fails does not keep the head of a piece from coming from others.
func TestAHeadThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, ctx := readsInTheMiddle(t)
		time.Sleep(400 * time.Millisecond)
		w.mu.Lock()
		w.webSeedDown = true
		w.mu.Unlock()
		w.engine(func(c *Config) { c.Complete = true })
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		if err := w.readAll(ctx, e, 3<<20); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 800*time.Millisecond {
			t.Errorf("the head came after %s", took)
		}
	})
}

// One lie, and what the web seed sends is checked before the player has it.
func TestAWebSeedThatLiedIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2<<20, 64<<10)
		w.webSeedSpoil = true
		e := w.engine(nil)
		ctx := within(t, 10*time.Minute)
		e.SetPlayback(Playback{Stalled: true})
		c, err := e.Read(ctx, 0, 16<<10)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(c.Bytes(), w.data[:c.Len()]) {
			t.Fatal("nobody lied")
		}
		w.until("the lie is found", time.Minute, func() bool {
			var lied bool
			_ = e.ask(ctx, func() { lied = e.web.lied })
			return lied
		})
		time.Sleep(wrongBytesRest)
		if _, err := e.Read(within(t, 10*time.Second), 0, 16<<10); err == nil { // it is asked again
			t.Error("the player has bytes that nobody checked")
		}
	})
}
