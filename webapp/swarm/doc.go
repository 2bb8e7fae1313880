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
//   - Needed soon: from viewers, in the order of the film.
//   - Needed within the reach (15 to 30 s): from viewers, rarest first, at one and a half
//     times the speed of the film. Who plays next ahead of us is asked first, so that
//     viewers one after another make a chain and not a crowd around the first. Beyond
//     the reach nothing is fetched: who leaves in the middle has little that was not
//     played.
//   - Within the reach, and no viewer has it: from the web seed, by one of those who
//     need it. Each has a turn of its own for each piece, drawn from its peer id (turn),
//     and tells the others what it fetches (wire.Coming); they wait, and get it from
//     there.
//   - The pod's own WebRTC seeder costs its pod a hundred times what a byte by HTTP
//     costs. It is connected, and asked, where the web seed fails.
//
// Until somebody has read, the player has its bytes by plain HTTP: then nothing comes
// from the web seed, or the pod would send them twice. What was played that way is
// brought at leisure, for newcomers.
//
// # Bytes that were not checked
//
// What is kept and given to others was checked. The player alone, while it stands still,
// gets what the web seed sends as it comes: it trusts the pod as a plain <video> would,
// and a seek does not wait for the rest of a piece. A request for such a player begins in
// the middle of a piece where it has to; the head of the piece comes when there is time.
// A web seed that sent wrong bytes once is not trusted again.
//
// # Who is left alone
//
// A source that sends wrong bytes is banned (a peer) or rests for long (the web
// seed); one that is silent is benched for a while.
//
// # What the viewer and the device allow
//
// Terms say whether others may learn of this viewer, whether anything is given to them and
// how fast: that is for all engines of the viewer together (Siblings), and who needs less
// than its part leaves it to the others. They change while the engine runs. A viewer who is
// still being told is with nobody, and the web seed brings what is needed within the reserve
// only. Where fewer watch than Config.LeastViewers, the tracker is asked how many there are,
// and no connection is made.
package swarm
