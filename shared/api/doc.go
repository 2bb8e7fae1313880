// Package api is the HTTP contract between the web app and its pod: the methods,
// their requests and results, errors, paths, and the client.
//
// Methods is implemented twice: by Client over HTTP, and by the pod itself, which
// serves the client and renders pages with the same calls. The compiler keeps the
// two ends equal.
//
// # Requests and answers
//
// Bodies are JSON in UTF-8, at most MaxBody bytes. A failure is
// {"code","message"} with a fitting status (Error). Lists are paged: an answer
// carries a cursor, empty on the last page; the cursor is opaque and goes back as
// it came.
//
// # Who asks
//
// POST /api/v1/session sets a cookie (HttpOnly, SameSite=Lax, Secure behind
// https) and answers the same token for "Authorization: Bearer". A request that
// changes something and comes with the cookie must come from the pod's own pages:
// a foreign Origin or Sec-Fetch-Site is refused with 403.
//
// # Uploads
//
// Files go up by tus 1.0.0 at PathUploads (creation, termination, checksum,
// expiration), see UploadMetadata. The last part of an upload's URL is the id that
// the video will have; EditVideo, SetThumbnail and RemoveVideo take it while bytes
// still go up. The response that completes an upload carries HeaderVideoID.
package api
