// Package pod is one Kinopod server: the place where its parts are joined.
//
// # The map
//
// What a pod knows, rules without sockets:
//
//	config     what an operator sets
//	identity   the pod's host and key
//	accounts   who may do what
//	catalog    which videos there are
//	container  what is in an MP4 or WebM file
//
// Its doors, where data enters and leaves:
//
//	httpapi    viewers and uploaders: API, streams, uploads, pages
//	tracker    introductions between peers
//	seeder     pieces of videos by WebRTC and BitTorrent
//	publish    an uploaded file becomes a video, or stops being one
//	redisstore what the rules keep, in Redis
//	redisproc  the private redis-server
//	filestore  videos, thumbnails and uploads on disk
//
// Shared with browsers is kinopod/shared; the web app is kinopod/webapp, which the
// command joins with the pod (Options.Pages).
//
// # Import rule
//
// stdlib <- shared <- what a pod knows <- doors <- pod <- pod/cmd/kinopod, and
// shared <- webapp. What a pod knows does not import each other, nor do doors: a
// package declares the small interface it needs, and New joins them. Where two
// doors meet, adapters.go says how. A library has one home. The test in
// kinopod/build/rules checks it.
//
// # One upload through the pod
//
// httpapi takes the bytes (tus) and hands them, as they come, to publish, which
// writes them to filestore, hashes their pieces, looks into their container, asks
// accounts for quota, and at the last byte moves the file to its place and lists
// it in catalog (redisstore). From then on tracker and seeder serve its info hash:
// both ask filestore, nothing has to be told to them. httpapi serves the same file
// at /stream.
package pod
