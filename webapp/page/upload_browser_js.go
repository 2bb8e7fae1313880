package page

import (
	"context"
	"syscall/js"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/webapp/player"
	"kinopod/webapp/upload"
)

// startQueue makes the queue of this visit. It runs until the tab is closed.
func startQueue(m api.Methods) *upload.Queue {
	q := upload.New(upload.Config{API: m, Memory: upload.NewMemory(), Preview: upload.Look, Seeder: player.Seeding{}})
	q.Attach()
	go q.Run(context.Background())
	return q
}

// watchDrops calls over when files begin or cease to be dragged over the page, and
// drop when they are let go. Its listeners are the browser's own: go-app calls its
// handlers later, when an event can no longer be kept from opening the file.
func watchDrops(over func(bool), drop func([]*upload.File)) (stop func()) {
	dragged := false
	say := func(now bool) {
		if now != dragged {
			dragged = now
			over(now)
		}
	}
	listen := map[string]func(e js.Value){
		"dragenter": func(js.Value) { say(true) },
		"dragover": func(e js.Value) {
			say(true)
			e.Get("dataTransfer").Set("dropEffect", "copy")
		},
		"dragleave": func(e js.Value) {
			if e.Get("relatedTarget").IsNull() { // not to another element of the page
				say(false)
			}
		},
		"drop": func(e js.Value) {
			say(false)
			drop(filesOf(e.Get("dataTransfer").Get("files")))
		},
	}
	functions := map[string]js.Func{}
	for name, handle := range listen {
		f := js.FuncOf(func(_ js.Value, args []js.Value) any {
			if carriesFiles(args[0]) {
				args[0].Call("preventDefault")
				handle(args[0])
			}
			return nil
		})
		functions[name] = f
		js.Global().Call("addEventListener", name, f)
	}
	return func() {
		for name, f := range functions {
			js.Global().Call("removeEventListener", name, f)
			f.Release()
		}
	}
}

// carriesFiles tells files from text and links that are dragged.
func carriesFiles(e js.Value) bool {
	data := e.Get("dataTransfer")
	return data.Truthy() && data.Get("types").Call("includes", "Files").Bool()
}

func filesOf(list js.Value) []*upload.File {
	files := make([]*upload.File, list.Length())
	for i := range files {
		files[i] = upload.NewFile(list.Index(i))
	}
	return files
}

// takeFiles takes the files out of an input, so that choosing the same ones again is a
// change.
func takeFiles(input app.Value) []*upload.File {
	v := app.JSValue(input)
	files := filesOf(v.Get("files"))
	v.Set("value", "")
	return files
}
