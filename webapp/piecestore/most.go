package piecestore

// Bounds of what all videos may take on disk, where the viewer did not choose.
const (
	usualMost  = 2 << 30 // bytes
	quotaShare = 5       // and a fifth of what the browser allows
)

// mostBytes is how many bytes all videos may take on disk: what the viewer chose, 0 for what
// suits a disk of which the browser allows quota bytes.
func mostBytes(chosen, quota int64) int64 {
	if chosen > 0 {
		return chosen
	}
	return max(0, min(usualMost, quota/quotaShare))
}
