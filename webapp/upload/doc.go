// Package upload sends the files that somebody chose to the pod, and makes sure
// that they arrive: over a lost network, a restarted pod, a reloaded page and a
// closed tab.
//
// # What is sent
//
// The protocol is tus 1.0.0 (creation, termination). A Queue sends two files at a
// time, each in parts of a size that a transfer chooses anew for each part. A part
// that is cut is not sent again: the pod keeps what it received of it, a HEAD tells
// how much that was, and the next part begins there. So what is lost with a cut is
// what was on its way. A proxy that buffers, or a pod that was killed, may lose a
// whole part: therefore no part is larger than what is left of one percent of the
// file (see pace), and the bytes sent in all stay within 101 % of it.
//
// # Going on
//
// A file is known again by its fingerprint: name, size, time of change and first
// bytes. The fingerprint, the upload's id and the bytes sent so far rest in the
// browser's localStorage (Memory). Where that is lost, the pod's own list of
// unfinished uploads serves: see Queue.Refresh.
//
// # Two builds
//
// The engine is the same in the browser and under go test. What touches the
// machine has two files with the same names in them: File is a slice of the
// browser's File or an io.ReaderAt, send is an XMLHttpRequest or net/http (under
// js/wasm net/http would hold each body in memory), Memory is localStorage or a
// map.
package upload
