// Package player is the one <video> element of the web app and where its bytes come
// from: first the pod by plain HTTP, then, at the same URL, the swarm engine through
// the service worker.
//
// The pod renders the element into the page of a video, so that it plays before
// WebAssembly is there. go-app does not hydrate: Adopt takes the element out before
// the first mount, and Place puts it into the page that was mounted. An element that
// is moved within one task plays on. It has crossorigin="anonymous", here and where
// pages are rendered: without it Chromium does not let answers of the pod and answers
// that the service worker made be mixed in one film.
//
// Outside of a browser all functions do nothing: pages are rendered by the pod with
// the same code.
package player

import _ "embed"

// ElementID is the id of the video element in a page that the pod rendered.
const ElementID = "kinopod-video"

// StreamWorker is the part of the service worker that answers /stream/ from the
// engine. It has to stand before other fetch listeners. In it KINOPOD_HAND_OVER stands
// for api.HandOver, and KINOPOD_FIRST_HAND_OVER for api.FirstHandOver.
//
//go:embed stream_worker.js
var StreamWorker string
