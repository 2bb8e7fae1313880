package search

import (
	"strconv"
	"strings"
	"time"
)

// day and what follows it are as long as people mean, not as calendars have them.
const (
	day  = 24 * time.Hour
	week = 7 * day
	year = 365 * day
)

// longest is what a Range may have: more than any video, and any age.
const longest = 100 * year

// setRange narrows r by "<10m", ">=1h", "10m..1h", "..10m" or "5m", which is about so
// much: from 5m to less than 6m. A number alone is in units.
func setRange(r *Range, text string, unit time.Duration) bool {
	var in Range
	from, to, dots := strings.Cut(text, "..")
	switch {
	case dots:
		ok := from != "" || to != ""
		if from != "" {
			in.Min, _, ok = parseSpan(from, unit)
		}
		if to != "" && ok {
			in.Max, _, ok = parseSpan(to, unit)
			ok = ok && in.Max >= time.Second
		}
		if !ok {
			return false
		}
	case strings.HasPrefix(text, "<"):
		rest, inclusive := strings.CutPrefix(text[1:], "=")
		d, _, ok := parseSpan(rest, unit)
		if !inclusive {
			d -= time.Second
		}
		if !ok || d < time.Second {
			return false
		}
		in.Max = d
	case strings.HasPrefix(text, ">"):
		rest, inclusive := strings.CutPrefix(text[1:], "=")
		d, _, ok := parseSpan(rest, unit)
		if !inclusive {
			d += time.Second
		}
		if !ok {
			return false
		}
		in.Min = d
	default:
		d, last, ok := parseSpan(text, unit)
		if !ok {
			return false
		}
		in.Min, in.Max = d, d+max(last-time.Second, time.Second)
	}
	*r = r.and(in)
	return true
}

// parseSpan reads "90s", "1h30m", "1:30:00", "7d", "2w", "1y" or a number of units, and
// says its smallest unit. Parts of a second are not known of a video.
func parseSpan(text string, unit time.Duration) (d, last time.Duration, ok bool) {
	text = strings.ToLower(text)
	if n, err := strconv.ParseUint(text, 10, 20); err == nil {
		d = time.Duration(n) * unit
		return d, unit, d <= longest
	}
	if strings.Contains(text, ":") {
		for part := range strings.SplitSeq(text, ":") {
			n, err := strconv.ParseUint(part, 10, 12)
			if d = d*60 + time.Duration(n)*time.Second; err != nil || d > longest {
				return 0, 0, false
			}
		}
		return d, time.Second, true
	}
	for text != "" {
		i := 0
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			i++
		}
		n, err := strconv.ParseUint(text[:i], 10, 30)
		text = text[i:]
		j := 0
		for j < len(text) && (text[j] < '0' || text[j] > '9') {
			j++
		}
		last = units[text[:j]]
		text = text[j:]
		if err != nil || last == 0 || n > uint64(longest/last) {
			return 0, 0, false
		}
		if d += time.Duration(n) * last; d > longest {
			return 0, 0, false
		}
	}
	return d, last, last > 0
}

var units = map[string]time.Duration{
	"s": time.Second, "sec": time.Second, "m": time.Minute, "min": time.Minute, "h": time.Hour,
	"d": day, "w": week, "mo": 30 * day, "y": year,
}

// String is the range as it could be typed.
func (r Range) String() string {
	text := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }
	s := ".."
	if r.Min > 0 || r.Max == 0 {
		s = text(r.Min) + s
	}
	if r.Max > 0 {
		s += text(r.Max)
	}
	return s
}

// parseDate reads "2026-01-31", "2026-01" or "2026": the beginning, UTC.
func parseDate(text string) (time.Time, bool) {
	for _, form := range []string{time.DateOnly, "2006-01", "2006"} {
		if at, err := time.Parse(form, text); err == nil && at.Unix() > 0 {
			return at, true
		}
	}
	return time.Time{}, false
}
