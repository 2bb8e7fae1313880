package page

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// formatBytes writes a number of bytes: "0 B", "999 B", "1.5 MiB". Quotas and limits are
// set in these units, so all is shown in them.
func formatBytes(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(max(n, 0), 10) + " B"
	}
	v, unit := float64(n), -1
	for v >= 999.5 && unit < 4 {
		v /= 1024
		unit++
	}
	return significant(v) + " " + string("KMGTP"[unit]) + "iB"
}

// significant writes a number below 1000 with two digits at least.
func significant(v float64) string {
	if v < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(math.Round(v), 'f', 0, 64)
}

// formatRate writes bytes a second.
func formatRate(v float64) string { return formatBytes(int64(v)) + "/s" }

// formatDuration writes seconds as a clock does: "0:07", "12:34", "1:02:03".
func formatDuration(seconds float64) string {
	s := int64(math.Round(seconds))
	if s < 0 || math.IsNaN(seconds) || math.IsInf(seconds, 0) {
		s = 0
	}
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// spokenDuration writes seconds for screen readers: "1 hour 2 minutes".
func spokenDuration(seconds float64) string {
	s := int64(math.Round(max(seconds, 0)))
	h, m := s/3600, s/60%60
	switch {
	case h > 0 && m > 0:
		return plural(h, "hour") + " " + plural(m, "minute")
	case h > 0:
		return plural(h, "hour")
	case m > 0 && s%60 > 0 && m < 10:
		return plural(m, "minute") + " " + plural(s%60, "second")
	case m > 0:
		return plural(m, "minute")
	}
	return plural(s, "second")
}

func plural[N ~int | ~int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun + "s"
}

// formatCount writes a number of things as people say it: "0", "999", "1.2K", "35M", "1.0B".
func formatCount(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(max(n, 0), 10)
	}
	v, unit := float64(n), -1
	for v >= 999.5 && unit < 3 {
		v /= 1000
		unit++
	}
	return significant(v) + string("KMBT"[unit])
}

// formatViews writes how often a video was watched, "" for never.
func formatViews(n int64) string {
	switch {
	case n <= 0:
		return ""
	case n == 1:
		return "1 view"
	}
	return formatCount(n) + " views"
}

// formatAgo writes how long ago t was, as seen from now.
func formatAgo(t, now time.Time) string {
	d := now.Sub(t)
	day := 24 * time.Hour
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return plural(int64(d/time.Minute), "minute") + " ago"
	case d < day:
		return plural(int64(d/time.Hour), "hour") + " ago"
	case d < 30*day:
		return plural(int64(d/day), "day") + " ago"
	case d < 365*day:
		return plural(int64(d/(30*day)), "month") + " ago"
	}
	return plural(int64(d/(365*day)), "year") + " ago"
}

// formatDate writes a day.
func formatDate(t time.Time) string { return t.Format("2 January 2006") }

// formatShare writes a part of a whole in percent.
func formatShare(part, whole int64) string {
	if whole <= 0 {
		return "0 %"
	}
	return strconv.FormatFloat(math.Round(100*float64(part)/float64(whole)), 'f', 0, 64) + " %"
}
