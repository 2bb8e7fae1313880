// Package swarm is the browser's torrent engine: it gets one video from the pod's
// web seed, the pod's seeder and other viewers behind one picker, checks each
// piece, and gives to other viewers what it has.
//
// # Who owns what
//
// One goroutine, Engine.Run, owns all state of a swarm. What happens outside (a
// message, an answer, a timer, a call) is posted to it as a function and runs in
// order, so there are no locks but the mailbox's. Nothing that runs there blocks.
//
// # Where bytes are
//
// Blocks come and go as piecestore.Chunk: in a browser they stay in JavaScript
// buffers, and Go sees headers only.
//
// # Which piece from whom
//
// A piece has a deadline: the seconds until the player needs it. A piece comes
// whole from one source, so that a wrong one tells who sent it.
//
//   - Needed within the reserve (what the web seed, as measured, needs to be in time
//     for sure; more while the player stands still): from whoever is sure to be in
//     time, a viewer if one is.
//   - Needed later: from viewers that have it, rarest first, at twice the speed of the
//     film, and slowly beyond half a minute: who leaves in the middle has little that
//     was not played.
//   - Needed later, and no viewer has it: from the web seed, once the deadline comes
//     below a threshold that each engine draws for itself. Viewers that watch side by
//     side so take turns in bringing a piece into the swarm, and the rest get it from
//     each other.
//   - The pod's own WebRTC seeder costs its pod a hundred times what a byte by HTTP
//     costs. It is asked where the web seed fails; else it gives a piece now and then,
//     which keeps the way warm.
//
// Until somebody has read, the player has its bytes by plain HTTP: then nothing comes
// from the web seed, or the pod would send them twice. What was played that way is
// brought at leisure, for newcomers.
//
// A source that sends wrong bytes is banned (a peer) or rests for long (the web
// seed); one that is silent is benched for a while.
package swarm
