// Command app is the whole client: the web app, compiled to WebAssembly.
package main

import (
	"kinopod/shared/api"
	"kinopod/webapp/page"
	"kinopod/webapp/player"
)

func main() {
	player.Adopt() // before the first tree takes the place of the document's
	page.Run(api.NewClient(page.Origin(), ""))
}
