package piecestore

import (
	_ "embed"

	"kinopod/shared/magnet"
)

// WorkerScript is the worker of Browser; it is served at WorkerPath.
//
//go:embed piece_worker.js
var WorkerScript string

// WorkerPath is where pages find WorkerScript.
const WorkerPath = "/web/piece_worker.js"

// LockName is the Web Lock of who has a video open: its store, and the engine. A video
// whose lock is held is not removed to make room.
func LockName(video magnet.InfoHash) string { return "kinopod-video/" + video.String() }
