package upload

import "syscall/js"

// Attach lets the queue hear of the browser: of a network that is back, and of a
// page that is left, which asks for a confirmation while files go up.
func (q *Queue) Attach() (detach func()) {
	window := js.Global()
	listeners := map[string]js.Func{
		"online": js.FuncOf(func(js.Value, []js.Value) any {
			q.Wake()
			return nil
		}),
		"beforeunload": js.FuncOf(func(_ js.Value, args []js.Value) any {
			if q.Busy() {
				args[0].Call("preventDefault")
				args[0].Set("returnValue", true) // for browsers that know only that
			}
			return nil
		}),
		"pagehide": js.FuncOf(func(js.Value, []js.Value) any {
			q.Remember()
			return nil
		}),
	}
	for name, f := range listeners {
		window.Call("addEventListener", name, f)
	}
	return func() {
		for name, f := range listeners {
			window.Call("removeEventListener", name, f)
			f.Release()
		}
	}
}
