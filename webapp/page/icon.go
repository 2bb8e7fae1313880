package page

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/maxence-charriere/go-app/v9/pkg/app"
)

// Pictures of 24 by 24, drawn with the colour of the text around them.
const (
	iconLock    = `<path d="M12 2a5 5 0 0 0-5 5v3H5v12h14V10h-2V7a5 5 0 0 0-5-5zm0 2a3 3 0 0 1 3 3v3H9V7a3 3 0 0 1 3-3zm0 10a2 2 0 0 1 1 3.7V20h-2v-2.3a2 2 0 0 1 1-3.7z"/>`
	iconLogo    = `<path class="logo-pod" d="M2 17.1C2 8.5 8.3 2 17.2 2 19.9 2 22 4.1 22 6.8 22 15.7 15.5 22 6.9 22 4.1 22 2 19.9 2 17.1z"/><path class="logo-play" d="M9.2 8v9.4c0 .6.7 1 1.2.7l7.4-4.7c.5-.3.5-1 0-1.3l-7.4-4.7C9.9 7 9.2 7.4 9.2 8z"/>`
	iconTheme   = `<path d="M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zm0 2v14a7 7 0 0 1 0-14z"/>`
	iconUpload  = `<path d="M11 16V7.8L7.7 11.1 6.3 9.7 12 4l5.7 5.7-1.4 1.4L13 7.8V16zM4 18h16v2H4z"/>`
	iconInstall = `<path d="M11 4v8.2L7.7 8.9 6.3 10.3 12 16l5.7-5.7-1.4-1.4L13 12.2V4zM4 18h16v2H4z"/>`
	iconOffline = `<path d="M3.3 2 2 3.3l4.2 4.2A13 13 0 0 0 2 10l2 2.2a10 10 0 0 1 4.5-2.4l2.3 2.3A7.5 7.5 0 0 0 6.3 14l2 2.2A5 5 0 0 1 12 14.5l.9.1 6.8 6.8 1.3-1.3zM12 7l-1.2.1 2.9 2.9c2.4.3 4.6 1.3 6.3 2.7l2-2.2C19.3 8.3 15.8 7 12 7zm0 10.5L10.2 19l1.8 2 1.8-2z"/>`
	iconShare   = `<path d="M17 3a3 3 0 0 0-2.9 3.7L8.6 9.8a3 3 0 1 0 0 4.4l5.5 3.1A3 3 0 1 0 15 15.5l-5.5-3.1v-.8L15 8.5A3 3 0 1 0 17 3z"/>`
	iconLink    = `<path d="M10.6 13.4a4 4 0 0 0 5.7 0l3-3a4 4 0 1 0-5.7-5.7L12 6.3l1.4 1.4L15 6.1a2 2 0 0 1 2.9 2.9l-3 3a2 2 0 0 1-2.9 0zm2.8-2.8a4 4 0 0 0-5.7 0l-3 3a4 4 0 1 0 5.7 5.7l1.6-1.6-1.4-1.4L9 17.9A2 2 0 0 1 6.1 15l3-3a2 2 0 0 1 2.9 0z"/>`
	iconMagnet  = `<path d="M4 4h5v9a3 3 0 0 0 6 0V4h5v9a8 8 0 0 1-16 0zm2 2v2h1V6zm11 0v2h1V6z"/>`
	iconTorrent = `<path d="M6 2h8l5 5v15H5V3a1 1 0 0 1 1-1zm7 2v4h4zm-2 6v4.2L9.4 12.6 8 14l4 4 4-4-1.4-1.4-1.6 1.6V10z"/>`
	iconEdit    = `<path d="m16.5 3.5 4 4L8 20H4v-4zm0 2.8L6 16.8V18h1.2L17.7 7.5z"/>`
	iconRemove  = `<path d="M9 3h6l1 2h4v2H4V5h4zM6 8h12l-1 13H7zm4 2v9h1.5v-9zm3 0v9h1.5v-9z"/>`
	iconPod     = `<path d="M4 4h16v6H4zm0 8h16v8H4zm3-5.5v1.5h1.5V6.5zm0 8V16h1.5v-1.5z"/>`
	iconViewer  = `<path d="M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM4 20c0-4 3.5-6.5 8-6.5s8 2.5 8 6.5z"/>`
	iconDown    = `<path d="M11 4v11.2l-4.3-4.3-1.4 1.4L12 19l6.7-6.7-1.4-1.4-4.3 4.3V4z"/>`
	iconUp      = `<path d="M11 20V8.8l-4.3 4.3-1.4-1.4L12 5l6.7 6.7-1.4 1.4L13 8.8V20z"/>`
	iconFilm    = `<path d="M3 5h18v14H3zm2 2v2h2V7zm0 4v2h2v-2zm0 4v2h2v-2zm12-8v2h2V7zm0 4v2h2v-2zm0 4v2h2v-2zM9 7v10h6V7z"/>`
	iconSad     = `<path d="M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 2a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM8.5 8.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zm7 0a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zM12 13.5c-2.2 0-3.9 1.2-4.7 3h1.8c.6-.8 1.6-1.4 2.9-1.4s2.3.6 2.9 1.4h1.8c-.8-1.8-2.5-3-4.7-3z"/>`
	iconEye     = `<path d="M12 5c5 0 8.5 4 10 7-1.5 3-5 7-10 7s-8.5-4-10-7c1.5-3 5-7 10-7zm0 2c-3.6 0-6.3 2.7-7.7 5 1.4 2.3 4.1 5 7.7 5s6.3-2.7 7.7-5C18.3 9.7 15.6 7 12 7zm0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6z"/>`
	iconCheck   = `<path d="m9.5 18.5-6-6L5 11l4.5 4.5L19 6l1.5 1.5z"/>`
	iconFeed    = `<path d="M5 3c8.8 0 16 7.2 16 16h-3C18 11.8 12.2 6 5 6zm0 6a10 10 0 0 1 10 10h-3a7 7 0 0 0-7-7zm2 6a2 2 0 1 1 0 4 2 2 0 0 1 0-4z"/>`
	iconSearch  = `<path d="M10.5 3a7.5 7.5 0 0 1 5.9 12.1l4.9 4.9-1.4 1.4-4.9-4.9A7.5 7.5 0 1 1 10.5 3zm0 2a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z"/>`
	iconSwarm   = `<path d="M12 2.5a3 3 0 0 1 1 5.8v2.4l2.6 1.5 2-1.2a3 3 0 1 1 1 1.7l-2 1.2v3a3 3 0 1 1-2 0v-2.9L12 12.5 9.4 14v2.9a3 3 0 1 1-2 0v-3l-2-1.2a3 3 0 1 1 1-1.7l2 1.2L11 10.7V8.3a3 3 0 0 1 1-5.8z"/>`
)

// icon is a picture beside a text that says the same: screen readers pass over it.
func icon(path string) app.UI {
	return app.Raw(`<svg class="icon" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false">` + path + `</svg>`)
}

// avatar is the first letter of a name on a disc; one name has always the same hue.
func avatar(name string) app.UI {
	hue := 0
	for _, b := range []byte(name) {
		hue = (hue*31 + int(b)) % avatarHues
	}
	return elem("span").Class("avatar", "hue-"+string(rune('0'+hue))).Aria("hidden", true).Text(initial(name))
}

// initial is the first letter of a name.
func initial(name string) string {
	r, _ := utf8.DecodeRuneInString(strings.TrimSpace(name))
	if r == utf8.RuneError {
		r = '?'
	}
	return string(unicode.ToUpper(r))
}

// avatarHues is the number of hues that the style sheet has for avatars.
const avatarHues = 6
