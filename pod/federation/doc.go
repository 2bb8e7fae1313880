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
//	pod.key       the sender's new key, signed with the one before
//	pod.leave     the sender leaves: it is no friend any more, nor are we
//
// A video carries no origin: it is the sender's, and half of its id is the hash of the
// sender's host. So no pod can speak for another, nor take an id before it. Its
// revision only grows: what is older than what is known changes nothing.
//
// # A new key
//
// The card shows the new key at once, but nobody who knows a pod takes it from there:
// the change is a batch with one pod.key and nothing else, signed with the key that the
// recipient has on record. Until that is taken, whatever the pod says to this friend is
// signed with the old key, and from then on with the new one. What a friend seals for an
// old key is opened as long as the pod has it. Who missed several changes is told of the
// last only, by the key that it has on record.
//
// A Hello that is taken says that the recipient knows the key of our card; one that is
// refused (409) that it has another one on record. Then the pod says pod.key with each
// of its older keys: that mends what a crash or a lost memory left behind.
//
// # Versions
//
// Two pods use the highest version that both speak. A pod that is to give up its lowest
// version says so in its card ("switch_at"); from then on who speaks nothing newer is
// dormant: nothing is sent to it and its videos stay. Its card is looked at again now and
// then, and when it sends a message that is understood. A pod whose card says something
// else than before says Hello to its friends.
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
// Body: DetailsRequest. Answer: Details of one video of the recipient: what the catalogue
// has no room for, whether its videos are for members, and, where that was asked for, a
// pass. 404 is the answer where the recipient has no such video: nobody answers for another's.
//
// # POST /federation/v1/views
//
// Body: ViewsRequest, how often videos of the recipient were watched at the sender since
// the batch before. The recipient counts a batch whose number is greater than that of the
// last one that it counted of this sender, and no other: one that comes again counts
// once. It counts so many a day of a friend as its operator allows, and of one video a
// quarter of that. Answer: Views, how often its videos were watched everywhere, of those that were watched
// since the place in the request, the longest ago first. Only what an origin says of its
// own videos is believed. A pod asks each friend every ten minutes or so, and from the beginning once a day; one that does not know the
// path answers 404, and is asked again later.
//
// # Members
//
// A pod whose videos are for members takes the word of its friends for who is one, of
// those that it asked for friendship itself: anybody may present a pod. A viewer who is
// logged in there may watch as its own users may, since a network in which a session is
// good at one pod only would be none. The friend asks for a pass for
// such a viewer alone, hands it to nobody else, and introduces nobody to the files
// at its own tracker. A pass is good for half a day, so who stops being a friend has lost
// all of them by then.
package federation
