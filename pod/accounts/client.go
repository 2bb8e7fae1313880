package accounts

import "strings"

// clientOf says in a few words what a User-Agent header is: "Firefox on Linux".
// The header itself is not kept: it tells more than a person needs to know their
// own session.
func clientOf(userAgent string) string {
	const most = 1 << 10 // a longer header has nothing more to say
	userAgent = userAgent[:min(len(userAgent), most)]
	name, system := browserOf(userAgent), systemOf(userAgent)
	switch {
	case name == "" && system == "":
		return "Unknown"
	case name == "":
		return "Unknown on " + system
	case system == "":
		return name
	}
	return name + " on " + system
}

// browserOf asks in this order, since most browsers claim to be others as well.
func browserOf(ua string) string {
	for _, b := range []struct{ mark, name string }{
		{"Edg", "Edge"},
		{"OPR/", "Opera"},
		{"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"Chromium/", "Chromium"},
		{"Chrome/", "Chrome"},
		{"Safari/", "Safari"},
	} {
		if strings.Contains(ua, b.mark) {
			return b.name
		}
	}
	// Not a browser: "curl/8.5.0" is curl.
	name, _, _ := strings.Cut(ua, "/")
	name, _, _ = strings.Cut(name, " ")
	if name == "" || len(name) > 30 || name == "Mozilla" {
		return ""
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return ""
		}
	}
	return name
}

func systemOf(ua string) string {
	for _, s := range []struct{ mark, name string }{
		{"Android", "Android"},
		{"iPhone", "iOS"},
		{"iPad", "iPadOS"},
		{"Windows", "Windows"},
		{"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"},
		{"FreeBSD", "FreeBSD"},
		{"Linux", "Linux"},
	} {
		if strings.Contains(ua, s.mark) {
			return s.name
		}
	}
	return ""
}
