// Package search is the full-text index of every video that a pod knows, in the pod's own
// memory. It answers the ids of videos; the records are somebody else's.
//
// # Use
//
// Put and Remove follow the catalogue; they may be repeated, and Put replaces. Search and
// Suggest see at once what was put. Run merges in the background what came; without it
// Put does so when it has to. Save writes a snapshot with a position of whoever follows
// the catalogue, Load reads it, and the follower goes on from that position. A snapshot
// that is broken, cut short or of another version is ErrSnapshot: build the index anew,
// while lists work without it. Close gives the memory back.
//
// # Queries
//
//	word word         all of them, in any order, in name, tags, uploader or description
//	wor               the last word, if no space follows, may go on: from three letters
//	wrod              one letter wrong, from four letters: where fewer than ten are found
//	                  as written, behind those
//	"two words"       these, in this order
//	two-words         likewise; where fewer than ten are found, apart as well
//	-word -"a phrase" not these
//	origin:HOST       of this pod (also pod:, host:, on:)
//	by:NAME           of this uploader (also uploader:, user:, from:); by:NAME@HOST
//	tag:TAG           tag:"two words", by:"two words"
//	-tag:TAG          not with this tag; likewise -origin: and -by:
//	duration:<10m     also >=1h30m, 5m..20m, 1h.., 1:30:00; a number alone is minutes
//	age:<7d           s, min, h, d, w, mo, y; a number alone is days
//	after:2026-01-31  created then or later; before: earlier; a month or a year will do
//
// Case and accents do not matter. Scripts without spaces are searched by pairs of
// letters. There is no wrong query: what cannot be read as a filter is a word, and what
// is over the limits (MaxQuery and so on) is left out. Query.String is the canonical form.
//
// # Rank
//
// rank.go says how a video is ranked: by where the words stand (the name above the rest),
// how well they fit (exact above begun above mistaken), how rare they are, and how new
// the video is; at the same rank the higher id comes first. A query of filters alone
// answers the newest first.
//
// A page is bounded by a position in that order: rank and id of the last answer. The
// cursor holds all else that a rank depends on besides the video itself, so that a video
// that stays as it is comes exactly once while others come and go. A video that comes
// while pages are turned is seen if it ranks below the page.
//
// # Memory and time
//
// Videos rest in segments that never change (package segment) and lie outside of Go's
// heap; the newest few hundred are looked at one by one. A removed video is struck out,
// and gone for good when its segment is merged. Merging needs memory for one segment
// more, of at most 262,144 videos. Nobody waits for a merge, but who adds far faster than
// is merged. A search is bounded by the work it does and by its context: then it answers
// the best of what it saw, which are the newer videos, and Result.Cut says so.
//
// # Limits
//
// A prefix or a mistake stands for at most 512 words of a segment, the commonest. A
// phrase is exact in the first hundred words of a video; in longer descriptions words may
// seem to follow each other that are a multiple of some thirty to hundred words further
// on. Words of several languages are compared as they are written: there are no stems.
package search
