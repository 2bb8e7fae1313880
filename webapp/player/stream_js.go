package player

import (
	"context"
	"syscall/js"
	"time"

	"kinopod/shared/api"
	"kinopod/webapp/swarm"
)

// Bounds of one answer to the element.
const (
	pullBytes = 256 << 10       // one part
	pullIdle  = 2 * time.Minute // the worker asks for nothing more: it was ended, or the player has enough
)

// stream answers the service worker for one engine (stream_worker.js).
type stream struct {
	ctx       context.Context
	engine    *swarm.Engine
	rendition api.Rendition
	worker    js.Value // navigator.serviceWorker
	onMessage js.Func
	onChange  js.Func
}

// register tells the service worker of an engine. It does nothing where there are no
// service workers: the film plays by plain HTTP then.
func register(ctx context.Context, e *swarm.Engine, r api.Rendition) *stream {
	s := &stream{ctx: ctx, engine: e, rendition: r, worker: js.Global().Get("navigator").Get("serviceWorker")}
	if s.worker.IsUndefined() {
		return s
	}
	s.onMessage = js.FuncOf(func(_ js.Value, args []js.Value) any {
		s.message(args[0])
		return nil
	})
	s.onChange = js.FuncOf(func(js.Value, []js.Value) any {
		s.tell("engine")
		return nil
	})
	s.worker.Call("addEventListener", "message", s.onMessage)
	s.worker.Call("addEventListener", "controllerchange", s.onChange)
	s.worker.Call("startMessages")
	s.tell("engine")
	return s
}

// tell says to the worker that controls this page that the engine is there, or gone.
func (s *stream) tell(what string) {
	if controller := s.worker.Get("controller"); controller.Truthy() {
		controller.Call("postMessage", map[string]any{
			"kinopod": what, "infoHash": s.engine.InfoHash().String(), "size": s.rendition.Size, "type": s.rendition.MIME,
		})
	}
}

func (s *stream) release() {
	if s.worker.IsUndefined() {
		return
	}
	s.tell("gone")
	s.worker.Call("removeEventListener", "message", s.onMessage)
	s.worker.Call("removeEventListener", "controllerchange", s.onChange)
	s.onMessage.Release()
	s.onChange.Release()
}

func (s *stream) message(event js.Value) {
	m := event.Get("data")
	if m.Type() != js.TypeObject {
		return
	}
	switch kind := m.Get("kinopod"); {
	case kind.Type() != js.TypeString:
	case kind.String() == "who":
		s.tell("engine")
	case kind.String() == "stream" && m.Get("infoHash").String() == s.engine.InfoHash().String():
		go s.answer(event.Get("ports").Index(0), int64(m.Get("from").Float()), int64(m.Get("to").Float()))
	}
}

// answer gives the bytes from..to through a port, a part each time the worker pulls.
func (s *stream) answer(port js.Value, from, to int64) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	pulls := make(chan struct{}, 1)
	onMessage := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if args[0].Get("data").String() == "cancel" {
			cancel()
			return nil
		}
		select {
		case pulls <- struct{}{}:
		default:
		}
		return nil
	})
	defer func() {
		port.Set("onmessage", js.Null())
		port.Call("close")
		onMessage.Release()
	}()
	port.Set("onmessage", onMessage)
	port.Call("postMessage", "ready")
	for {
		select {
		case <-ctx.Done():
			if s.ctx.Err() != nil {
				port.Call("postMessage", "the engine was stopped")
			}
			return
		case <-time.After(pullIdle):
			port.Call("postMessage", "nobody asked for more")
			return
		case <-pulls:
		}
		if from >= to {
			port.Call("postMessage", js.Null())
			return
		}
		c, err := s.engine.Read(ctx, from, int(min(pullBytes, to-from)))
		if err != nil {
			if s.ctx.Err() != nil || ctx.Err() == nil {
				port.Call("postMessage", err.Error())
			}
			return
		}
		from += int64(c.Len())
		part := c.JS().Call("slice") // a copy: it is handed over, not shared
		port.Call("postMessage", part, []any{part.Get("buffer")})
	}
}
