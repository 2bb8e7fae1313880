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
//	search     the full-text index of all videos
//	friends    which pods are friends, and how reliable each is
//	viewing    who may watch
//	views      how often videos are watched, and what is trending
//	feed       lists as Atom and RSS
//	household  which addresses are limited as one
//	federation what pods say to each other, and how it is sealed
//
// Its doors, where data enters and leaves:
//
//	httpapi    viewers and uploaders: API, streams, uploads, pages
//	tracker    introductions between peers
//	seeder     pieces of videos by WebRTC and BitTorrent
//	publish    an uploaded file becomes a video, or stops being one
//	inbox      what other pods say to this one
//	outbox     what this one says to others: asynq tasks
//	podclient  how others are called, and what of their answers is believed
//	redisstore what the rules keep, in Redis
//	indexer    keeps the search index in step with the catalogue
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
// # One video through the network
//
// Each change of an own video stands in a log in Redis, written in the transaction that
// made it. outbox sends each friend what is past its position; the friend's inbox opens
// and checks it, and lists the video in its catalog as one of its sender. What is missed
// all the same is found by comparing digests. A viewer's own pod sends the first request
// to the origin; the browser talks to the origin's tracker, seeder and web seed, and to
// the own pod's tracker (foreign.go).
//
// # How a search finds it
//
// Each change of the catalogue stands in a stream of events, written in the transaction
// that made it. indexer follows the stream and puts the videos into its search index, of
// which each process has its own; catalog asks it which videos fit, and Redis for those.
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
