package redisstore

import (
	"encoding/binary"
	"strconv"
	"strings"

	"kinopod/pod/accounts"
	"kinopod/shared/network"
)

// Every key of the store, with its type. Numbers in members are a video's local id
// in four bytes, big endian, so that Redis sorts them; in sets and in values they are
// decimal, which Redis keeps as integers. asynq has its own keys, below "asynq:".

// keyVideoNext is a string: the local id drawn last. None is ever drawn twice.
func keyVideoNext() string { return "v:next" }

// videosAHash keeps a hash of records in one listpack.
const videosAHash = 64

// keyVideos is a hash: local id modulo 64 -> record of a video.
func keyVideos(local uint32) (key, field string) {
	return "v:" + strconv.FormatUint(uint64(local/videosAHash), 10), strconv.FormatUint(uint64(local%videosAHash), 10)
}

const (
	refPrefix  = 8       // bytes of a hash that find it; the record has them all
	refBuckets = 1 << 14 // 61 in each at a million videos: a listpack
)

// keyID is a hash: the first 8 bytes of a video's ID -> local ids, "7" or "7,12".
func keyID(id []byte) (key, field string) { return bucket("id:", id) }

// keyInfoHash is a hash: the first 8 bytes of a file's info hash -> local ids of the
// videos that have it.
func keyInfoHash(h []byte) (key, field string) { return bucket("ih:", h) }

// keyThumbnail is a hash: the first 8 bytes of a thumbnail's hash -> local ids of the
// videos that have it.
func keyThumbnail(h []byte) (key, field string) { return bucket("th:", h) }

func bucket(prefix string, h []byte) (key, field string) {
	n := binary.BigEndian.Uint64(h) % refBuckets
	return prefix + strconv.FormatUint(n, 10), string(h[:refPrefix])
}

// keyNewest is a zset: local id (4 bytes) by when the video was made, ms.
func keyNewest() string { return "new" }

// keyOrigin is a set of integers: the local ids of one pod's videos.
func keyOrigin(h network.Host) string { return "p:" + string(h) }

// keyUploader is a zset: local id (4 bytes) by when the video was made, ms; of one
// uploader of one pod. A host has no "/" in it, so no two uploaders share a key.
func keyUploader(h network.Host, name string) string {
	return "u:" + string(h) + "/" + strings.ToLower(name)
}

// keyGone is a zset: ID (16 bytes) of a withdrawn video by when that was, ms.
func keyGone() string { return "gone" }

// keyUnusedFiles is a zset: info hash (20 bytes) of a file to delete by since when, ms.
func keyUnusedFiles() string { return "unused:files" }

// keyUnusedThumbnails is a zset: hash (32 bytes) of a thumbnail to delete by since
// when, ms.
func keyUnusedThumbnails() string { return "unused:thumbs" }

// keyLog is a stream: "v" is the ID (16 bytes) of a video of this pod of which something
// is to be told to friends, or empty: that makes a first position.
func keyLog() string { return "fed:log" }

// keyFriends is a hash: host -> JSON of friends.Friend.
func keyFriends() string { return "friends" }

// keySeen is a string that expires: a message of a friend was taken.
func keySeen(h network.Host, id string) string { return "fed:seen:" + string(h) + "/" + id }

// keyUsers is a hash: folded name -> record of a user.
func keyUsers() string { return "users" }

// keySetup is a string: hash (32 bytes) of the token for the first account.
func keySetup() string { return "setup" }

// keyInvite is a string that expires: who made the invitation.
func keyInvite(token accounts.TokenHash) string { return "invite:" + string(token[:]) }

// keySession is a string that expires: record of a session.
func keySession(id accounts.TokenHash) string { return "s:" + string(id[:]) }

// keySessions is a zset: session id (32 bytes) by when it expires, ms; of one user.
func keySessions(user string) string { return "us:" + accounts.Fold(user) }

// keyQuota is a hash: id of an upload or video (16 bytes) -> record of a
// reservation; fieldQuotaSum -> the bytes of all of them. Of one user.
func keyQuota(user string) string { return "q:" + accounts.Fold(user) }

// fieldQuotaSum is no id: it has another length.
const fieldQuotaSum = "sum"
