package sharing

import (
	"sync"
	"syscall/js"
)

// here is what follows the browser. It is owned by the page's one thread.
type here struct {
	line     js.Value // navigator.connection; undefined in many browsers
	watchers map[int]func()
	serial   int
}

var one = sync.OnceValue(func() *here {
	h := &here{line: js.Global().Get("navigator").Get("connection"), watchers: map[int]func(){}}
	changed := js.FuncOf(func(js.Value, []js.Value) any {
		for _, f := range h.watchers {
			f()
		}
		return nil
	})
	js.Global().Call("addEventListener", "kinopod-sharing", changed)
	if h.line.Truthy() {
		h.line.Call("addEventListener", "change", changed)
	}
	return h
})

// Now is what holds now.
func Now() State {
	s := State{Choice: Parse(js.Global().Get("kinopod").Call("sharing").String())}
	if line := one().line; line.Truthy() {
		s.SaveData = line.Get("saveData").Truthy()
		s.Type, s.Speed = text(line.Get("type")), text(line.Get("effectiveType"))
	}
	return s
}

func text(v js.Value) string {
	if v.Type() != js.TypeString {
		return ""
	}
	return v.String()
}

// Choose changes what the viewer chose, here and in other tabs of this browser.
func Choose(change func(*Choice)) {
	c := Now().Choice
	change(&c)
	js.Global().Get("kinopod").Call("share", c.String())
}

// OnChange has f called whenever Now changes, until stop is called.
func OnChange(f func()) (stop func()) {
	h := one()
	h.serial++
	n := h.serial
	h.watchers[n] = f
	return func() { delete(h.watchers, n) }
}
