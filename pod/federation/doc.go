// Package federation is the protocol between pods: what they say to each other, and
// how it is sealed. This page is its specification (design.md, 5).
//
// # Who a pod is
//
// GET /.well-known/kinopod answers a Card: host, key, and which versions of the
// protocol it speaks. Nothing in it is secret. A pod is called by https; by http only
// where the operator allows it, and never again once https has worked.
//
// # Becoming friends
//
// A asks B for GET /api/v1/friends, and decides by network.Quorum. A posts a Hello to
// B: "I am A". B believes nothing of it: it calls A's /.well-known/kinopod, and if host
// and key are there, A is a friend from then on. The answer is 204, or an error as
// from the API. A Hello of a friend with the key on record changes nothing; with
// another key it is refused: a change of key is an event, signed with the old one.
//
// # Messages
//
// Between friends all is sealed: a JWE (RSA-OAEP-256, A256GCM) for the recipient inside
// a JWS (PS256) of the sender, in compact form, as the body of a POST:
//
//	JWS header  {"alg":"PS256","kinopod":{"from","to","path","version","time","id"}}
//	payload     the JWE, compact
//	JWE header  {"alg":"RSA-OAEP-256","enc":"A256GCM","from"}
//	plaintext   JSON, at most MaxBody bytes
//
// time is in milliseconds since 1970, id 16 random bytes in base64url. from stands in
// the JWE as well, so that nobody signs what another encrypted. Nothing else may stand
// in the headers.
//
// The recipient looks, in this order, at the size, the header, whether the sender is a
// friend, the signature with the key on record, whether it is the recipient, the path,
// the version, the time (MaxAge either way), whether the id is new; then only it
// decrypts, and parses. What fails is answered with 404 and nothing more; a counter
// keeps the reason (Reason).
//
// An answer that says something is sealed in the same way, with the sides exchanged
// and the same id.
//
// # POST /federation/v1/events
//
// Body: Batch, events in the order in which they happened; an empty one says "I am
// here" and makes the recipient send what waits for the sender. With "compare" the
// recipient is to compare digests: it was away for longer than the sender remembers.
// Answer: 204, when what the events did is durable. A batch may come twice.
//
//	video.put     the sender has this video: it is new, or something is said of it now
//	video.remove  the sender has it no more; it never comes back
//	pod.key       the sender's new key; from then on it alone is used
//	pod.leave     the sender leaves: it is no friend any more, nor are we
//
// A video carries no origin: it is the sender's, and half of its id is the hash of the
// sender's host. So no pod can speak for another, nor take an id before it. Its
// revision only grows: what is older than what is known changes nothing.
//
// # POST /federation/v1/digest
//
// Body: {}. Answer: Digest of the sender's own videos: the number of them, and a hash
// for each of 256 buckets, by the first byte of the id. Friends compare it now and then
// and after they met.
//
// # POST /federation/v1/videos
//
// Body: PageRequest, ids from After (excluded) to Last. Answer: Page, ids ascending.
// What the recipient has in between and the page does not name is gone, unless its
// revision is after the page's AsOf.
//
// # POST /federation/v1/details
//
// Body: DetailsRequest. Answer: Details of one video: what the catalogue has no room
// for.
package federation
