package player

import (
	"context"
	"syscall/js"
	"time"

	"kinopod/shared/api"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/swarm"
)

// Bounds of one answer to the element.
const (
	pullBytes   = 256 << 10       // one part
	pullsAtOnce = 4               // parts that the worker asks for before the first has come (prefetch there)
	pullIdle    = 2 * time.Minute // the worker asks for nothing more: it was ended, or the player has enough
)

// stream answers the service worker for one engine (stream_worker.js).
type stream struct {
	ctx       context.Context
	engine    *swarm.Engine
	rendition api.Rendition
	before    func()     // a request of the player is answered
	worker    js.Value   // navigator.serviceWorker
	ports     []js.Value // of the worker's latest messages
	onMessage js.Func
	onStream  js.Func
	onChange  js.Func
}

// register tells the service worker of an engine. It does nothing where there are no
// service workers: the film plays by plain HTTP then. It calls before when a request of
// this page's player has come.
func register(ctx context.Context, e *swarm.Engine, r api.Rendition, before func()) *stream {
	s := &stream{ctx: ctx, engine: e, rendition: r, before: before, worker: js.Global().Get("navigator").Get("serviceWorker")}
	if s.worker.IsUndefined() {
		return s
	}
	s.onMessage = js.FuncOf(func(_ js.Value, args []js.Value) any {
		if m := args[0].Get("data"); m.Type() == js.TypeObject && m.Get("kinopod").Equal(js.ValueOf("who")) {
			s.tell("engine")
		}
		return nil
	})
	s.onStream = js.FuncOf(func(_ js.Value, args []js.Value) any {
		m := args[0].Get("data")
		read := s.engine.Read
		if m.Get("beside").Truthy() {
			read = s.engine.ReadBeside
		} else {
			s.before()
		}
		go s.answer(args[0].Get("ports").Index(0), read, int64(m.Get("from").Float()), int64(m.Get("to").Float()))
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

// earlierPorts is how many ports stay open beside the latest one: what the worker wants may
// be on its way through one of them when it is told of the next.
const earlierPorts = 3

// tell says to the worker that controls this page that the engine is there, or gone.
func (s *stream) tell(what string) {
	controller := s.worker.Get("controller")
	if !controller.Truthy() {
		return
	}
	channel := js.Global().Get("MessageChannel").New()
	port := channel.Get("port1")
	port.Set("onmessage", s.onStream)
	s.ports = append(s.ports, port)
	s.closePorts(1 + earlierPorts)
	controller.Call("postMessage", map[string]any{
		"kinopod": what, "infoHash": s.engine.InfoHash().String(), "size": s.rendition.Size, "type": s.rendition.MIME,
	}, []any{channel.Get("port2")})
}

// closePorts leaves the latest few.
func (s *stream) closePorts(leave int) {
	for len(s.ports) > leave {
		s.ports[0].Set("onmessage", js.Null())
		s.ports[0].Call("close")
		s.ports = s.ports[1:]
	}
}

func (s *stream) release() {
	if s.worker.IsUndefined() {
		return
	}
	s.tell("gone")
	s.worker.Call("removeEventListener", "message", s.onMessage)
	s.worker.Call("removeEventListener", "controllerchange", s.onChange)
	s.closePorts(0)
	s.onMessage.Release()
	s.onStream.Release()
	s.onChange.Release()
}

// reader is Read or ReadBeside of an engine.
type reader func(ctx context.Context, off int64, most int) (piecestore.Chunk, error)

// answer gives the bytes from..to through a port, a part each time the worker pulls.
func (s *stream) answer(port js.Value, read reader, from, to int64) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	pulls := make(chan struct{}, pullsAtOnce)
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
		c, err := read(ctx, from, int(min(pullBytes, to-from)))
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
