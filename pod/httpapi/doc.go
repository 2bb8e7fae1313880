// Package httpapi is the pod's door for viewers and uploaders: it serves the JSON
// API of kinopod/shared/api, the bytes of videos, uploads by tus, and the pages of
// the web app, and keeps who asks within the pod's limits.
//
// What every request meets, in this order:
//
//   - the listener: connections in all and from one address; each chunk written
//     must leave within a minute;
//   - the header within headerTimeout, the body (but of an upload) whole, bounded
//     and within bodyTimeout;
//   - security headers;
//   - under /api: a rate for each address and each account, and, for what changes
//     something without a bearer token, the pod's own Origin.
//
// A failure is an api.Error; what has no code is "internal", and its cause goes to
// the log. Nothing that names a viewer is logged.
package httpapi
