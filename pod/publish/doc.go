// Package publish turns an uploader's file into a video of the pod, and back: a
// resumable upload (tus 1.0.0), the checks, the torrent, the listing, the
// thumbnail; editing while bytes go up; and withdrawing.
//
// # An upload on disk
//
// Its directory is named by the id that the video will have and holds
//
//	upload.json   who, how large, which file; written once
//	details.json  name, description, tags, thumbnail; replaced by edits
//	data          the bytes; its length is the offset
//	hashes        SHA-1 of each whole piece, 20 bytes each
//	unchecked     while bytes come that have a checksum: the offset before them
//	sealed.json   the torrent and what the file is; from here on bytes are complete
//	dropped       there where the upload ended otherwise: what is left of it goes
//
// # From the last byte to the list
//
// Container checked, sealed.json written, file placed by its info hash, video
// added to the catalogue. Each step is on disk before the next one begins and does
// nothing when done again, so that a pod killed between any two goes on where it
// was. Nothing of it reads the media again: pieces were hashed as they came.
//
// The directory stays for a while after that, since Redis may lose the last second
// or two of what it acknowledged when it is killed: only when the video is found
// in the catalogue again later, the directory goes.
//
// # Who may write
//
// Whatever changes an upload's bytes, or ends it, holds the turn of its id. A
// client that lost its connection comes back while the pod still waits for the old
// one: the newer request gets the turn, the older one is interrupted.
package publish
