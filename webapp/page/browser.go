package page

import (
	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// What the screens need of the browser. Natively, where pages are only rendered, go-app
// gives values that do nothing.

func document() app.Value { return app.Window().Get("document") }

func element(id string) app.Value { return app.Window().GetElementByID(id) }

// textOf is the text of an element, "" if there is none.
func textOf(id string) string {
	if e := element(id); e.Truthy() {
		return e.Get("textContent").String()
	}
	return ""
}

// focus moves the keyboard to an element, without scrolling.
func focus(id string) {
	if e := element(id); e.Truthy() {
		e.Call("focus", map[string]any{"preventScroll": true})
	}
}

// hook calls what static/boot.js keeps for the app in window.kinopod.
func hook(name string, args ...any) app.Value {
	if h := app.Window().Get("kinopod"); h.Truthy() {
		return h.Call(name, args...)
	}
	return app.Null()
}

// isOnline is what the browser believes of the network.
func isOnline() bool {
	v := app.Window().Get("navigator").Get("onLine")
	return app.IsServer || v.Truthy()
}

// isVisible says whether the page can be seen: its tab is the front one.
func isVisible() bool { return document().Get("visibilityState").String() == "visible" }

// isInstallable says whether the browser offers to install the app.
func isInstallable() bool {
	if app.IsServer {
		return false
	}
	v := app.Window().Get("goappIsAppInstallable")
	return v.Truthy() && app.Window().Call("goappIsAppInstallable").Bool()
}

// mounted tells the boot script that the app has taken over from the document.
func mounted() { hook("mounted") }

// keepTyped remembers what was typed into the document before the app takes over, and
// restoreTyped puts it back.
func keepTyped()    { hook("keepTyped") }
func restoreTyped() { hook("restoreTyped") }

// toggleTheme changes between dark and light, for this and later visits.
func toggleTheme() { hook("toggleTheme") }

// navigate goes to an address of the app, replaceAddress does so without a step that
// "back" would return to.
func navigate(address string)       { hook("navigate", address) }
func replaceAddress(address string) { hook("replace", address) }

// onAddress calls f on the UI goroutine whenever the address changes, as long as the
// page lives.
func onAddress(ctx app.Context, f func()) {
	app.Window().Get("kinopod").Set("onAddress", app.FuncOf(func(app.Value, []app.Value) any {
		ctx.Dispatch(func(app.Context) { f() })
		return nil
	}))
}

// manageScrolling takes the scroll position over from the browser: it does not know
// when a screen that "back" leads to has its content.
func manageScrolling() { hook("manageScrolling") }

// wentBack says, once, whether the address changed by the browser's history.
func wentBack() bool { return hook("wentBack").Truthy() }

func scrollTop() float64 {
	v := app.Window().Get("scrollY")
	if !v.Truthy() {
		return 0
	}
	return v.Float()
}

func scrollTo(y float64) { app.Window().Call("scrollTo", 0, y) }

// copyText puts text on the clipboard; done says on the UI goroutine whether it worked.
func copyText(ctx app.Context, text string, done func(bool)) {
	hookAsync(ctx, "copy", done, text)
}

// canShare says whether the system has a way of sharing a link.
func canShare() bool { return app.Window().Get("navigator").Get("share").Truthy() }

// share opens the system's way of sharing a link.
func share(title, address string) {
	app.Window().Get("navigator").Call("share", map[string]any{"title": title, "url": address}).
		Call("catch", app.Window().Get("kinopod").Get("ignore"))
}

// hookAsync is hook for what answers later, with a promise of a boolean.
func hookAsync(ctx app.Context, name string, done func(bool), args ...any) {
	p := hook(name, args...)
	if !p.Truthy() {
		done(false)
		return
	}
	p.Then(func(v app.Value) {
		ok := v.Truthy()
		ctx.Dispatch(func(app.Context) { done(ok) })
	})
}

// Origin is the address of the pod as the viewer opened it.
func Origin() string { return app.Window().Get("location").Get("origin").String() }

// onVisible calls f, on the UI goroutine, each time the element comes within margin
// (CSS) of the visible part of the page. It is for an element that stays; stop ends it.
func onVisible(ctx app.Context, id, margin string, f func(app.Context)) (stop func()) {
	e := element(id)
	if !e.Truthy() {
		return func() {}
	}
	seen := app.FuncOf(func(_ app.Value, args []app.Value) any {
		for i := range args[0].Length() {
			if args[0].Index(i).Get("isIntersecting").Bool() {
				ctx.Dispatch(f)
				break
			}
		}
		return nil
	})
	observer := app.Window().Get("IntersectionObserver").New(seen, map[string]any{"rootMargin": margin})
	observer.Call("observe", e)
	return func() {
		observer.Call("disconnect")
		seen.Release()
	}
}

// showModal opens a <dialog> over the page; it keeps the keyboard in itself.
func showModal(id string) {
	if d := element(id); d.Truthy() && !d.Get("open").Bool() {
		d.Call("showModal")
	}
}

func closeModal(id string) {
	if d := element(id); d.Truthy() && d.Get("open").Bool() {
		d.Call("close")
	}
}
