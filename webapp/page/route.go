package page

import (
	"net/url"
	"strings"

	"kinopod/shared/video"
)

// screenFor makes the screen for an address. It is the one list of the app's
// addresses.
func screenFor(e *Env, u *url.URL) screen {
	var s screen
	switch path, rest, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); {
	case u.Path == "/" || u.Path == "":
		s = &home{env: e}
	case path == "watch":
		if _, err := video.ParseID(rest); err == nil {
			s = &watch{env: e}
		}
	case path == "u" && rest != "":
		s = &home{env: e}
	case rest != "":
	case path == "search":
		s = &search{env: e}
	case path == "upload":
		s = newUpload(e)
	case path == "login":
		s = &login{env: e}
	case path == "account":
		s = &account{env: e}
	case path == "network":
		s = &pods{env: e}
	case path == "offline":
		s = &offline{env: e}
	}
	if s == nil {
		s = &notFound{env: e}
	}
	s.open(u)
	return s
}

// loginPath is the log-in page that leads to next afterwards.
func loginPath(next string) string { return "/login?next=" + url.QueryEscape(next) }

// nextOf is where the log-in page leads to. Only addresses of the app are taken: what
// a link says must not lead elsewhere.
func nextOf(u *url.URL) string {
	next, err := url.Parse(u.Query().Get("next"))
	if err != nil || next.IsAbs() || next.Host != "" || next.Opaque != "" || !strings.HasPrefix(next.Path, "/") || strings.HasPrefix(next.Path, "//") || strings.Contains(next.Path, `\`) {
		return "/"
	}
	return next.String()
}

// ownPath makes an address at the pod of what the API says, so that every picture and
// every byte comes from the pod that the page is of, by whichever name it was opened.
func ownPath(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" {
		return ""
	}
	u.Scheme, u.Host, u.User = "", "", nil
	if !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") {
		return ""
	}
	return u.String()
}
