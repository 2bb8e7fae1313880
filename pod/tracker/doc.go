// Package tracker introduces the peers of a swarm to each other.
//
// Browsers announce over a WebSocket and exchange WebRTC offers and answers
// through it (the protocol of shared/announce). BitTorrent clients announce over
// HTTP (BEP 3, 7, 23, 48) and are told each other's addresses. The pod's own
// seeder is a peer of every swarm of the pod's videos: viewers are introduced to
// each other first, and to the seeder where they are too few.
//
// # Who owns what
//
// One loop, one goroutine, owns all connections and swarms: its maps need no lock,
// and one core carries some hundred times the viewers that a pod can feed. On Linux
// the loop waits for plain TCP sockets by epoll; an idle viewer then costs no
// goroutine and no buffer. A socket that it cannot wait for (TLS, another system)
// gets a reader goroutine that hands its bytes to the loop (stream). Everything
// above a link, the WebSocket framing included, is the same code for both.
//
// Handlers of HTTP requests reach the loop's state by loop.do. What may wait never
// runs on the loop: the seeder answers in goroutines of its own, bounded in number
// and time, and the answer comes back by loop.post.
//
// What many goroutines touch has its own lock or is atomic: the budgets of
// addresses (visitors) and the counters (Stats).
package tracker
