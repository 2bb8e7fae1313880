package piecestore

import _ "embed"

// WorkerScript is the worker of Browser; it is served at WorkerPath.
//
//go:embed piece_worker.js
var WorkerScript string

// WorkerPath is where pages find WorkerScript.
const WorkerPath = "/web/piece_worker.js"
