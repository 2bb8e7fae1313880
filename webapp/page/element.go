package page

import "github.com/maxence-charriere/go-app/v9/pkg/app"

// elem makes an element. go-app has a type for each tag of HTML (app.Div and so on),
// and each brings its hundred methods into the WebAssembly: the screens use the one type
// that stands for any tag.
func elem(tag string) app.HTMLElem { return app.Elem(tag) }

// void makes an element that has no content: <img>, <input>.
func void(tag string) app.HTMLElemSelfClosing { return app.ElemSelfClosing(tag) }
