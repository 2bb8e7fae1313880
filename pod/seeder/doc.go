// Package seeder gives pieces of the pod's own videos to peers: to browsers over
// WebRTC, to BitTorrent clients over TCP and uTP, all from the one file on disk
// (design.md, 8).
//
// A browser's offer comes in through Answer. The seeder answers it and never makes
// offers of its own. Every browser is reached through one UDP port; the same port
// over TCP is for networks that let no UDP through. A browser need not name a single
// candidate: it finds us, and we learn it as peer-reflexive.
//
//	Answer -> description.go: the offer is read, the answer is written
//	          peer (peer.go): one browser, ended by stop
//	          connection (connection.go): its ICE, DTLS and SCTP, of pion's parts,
//	            but for records of DTLS with data (records.go)
//	          session (session.go): the peer protocol on its data channel
//	            upload.go: blocks that wait, and the pace they leave at
//	Wanted -> native.go: BitTorrent clients may come for a torrent
//	          tcpPeer (tcp.go): one client over TCP, encrypted or not, with a session
//	          the BitTorrent client of anacrolix/torrent, for those over uTP
//	both   -> swarm (swarm.go): one torrent's file, open while somebody asks
//
// A file is opened when the first peer asks for it and closed Config.Idle after the
// last one has gone. Nothing is hashed: what stands in the store was hashed when it
// was uploaded. So a start costs the same with one video or 10,000.
//
// Goroutines. Run owns all: it looks after time (silent peers, idle files) and
// ends the rest when its context ends. A peer has one that connects and waits for
// channels, one that reads its session, and a third while blocks wait to be sent; the
// rest belong to pion and end with the peer's connection, which the peer closes and
// waits for. A client over TCP has one that shakes hands and reads its session, and a
// second while blocks wait to be sent.
package seeder
