package redisstore

import (
	"encoding/binary"
	"strconv"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Every key of the store, with its type. Numbers in members are a video's local id
// in four bytes, big endian, so that Redis sorts them; in sets and in values they are
// decimal, which Redis keeps as integers. asynq has its own keys, below "asynq:"; of
// them only those of keyTasks are touched.

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

// keyText is a string: the whole description of a video of this pod, where its record has
// the beginning only.
func keyText(id video.ID) string { return "text:" + string(id[:]) }

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

// keyNewest is a zset: local id (4 bytes) of each video by when it was made, ms. What a
// pod or an uploader has is found by the search index: lists of all uploaders would cost 55 MB a
// million beside the 94 of this one, and a command for every second video.
func keyNewest() string { return "new" }

// keyStretches is a zset of an earlier version (older.go): the names of stretches of time, each
// of which was a zset by the name of prefixStretch and its own, as keyNewest is now.
func keyStretches() string { return "newest" }

const prefixStretch = "newest:"

// keyOrigin is a set of integers: the local ids of one pod's videos.
func keyOrigin(h network.Host) string { return "p:" + string(h) }

// patternUploaders fits the keys of zsets of an earlier version (older.go): each uploader's
// videos by when they were made.
const patternUploaders = "u:*/*"

// keyNumbers is a hash: local id modulo 64 -> how often the video was watched, as far as
// is known here.
func keyNumbers(local uint32) string {
	return "n:" + strconv.FormatUint(uint64(local/videosAHash), 10)
}

// keyTrend is a zset: local id (4 bytes) by its score (package views).
func keyTrend() string { return "trend" }

// keyViewsChanged is a zset: local id (4 bytes) of a video of this pod by when it was
// watched last, ms.
func keyViewsChanged() string { return "views:at" }

// keyViewsNew is a hash: ID (16 bytes) of a friend's video -> how often it was watched here
// since the last batch.
func keyViewsNew(h network.Host) string { return "views:new:" + string(h) }

// keyViewsOut is a hash, the batch that is being told to a friend: ID (16 bytes) -> how
// often; "batch" -> its number.
func keyViewsOut(h network.Host) string { return "views:out:" + string(h) }

// keyViewsBatches is a hash: host -> number of the last batch that was taken of it;
// ">" and host -> number of the last batch that was made for it.
func keyViewsBatches() string { return "views:batches" }

// keyViewsDay is a hash that expires: local id (4 bytes) -> views that were taken on one
// day of ("by") a friend's viewers, or of ("of") its videos; "sum" -> of all of them.
func keyViewsDay(t time.Time, what string, h network.Host) string {
	return "views:day:" + strconv.FormatInt(t.Unix()/(24*60*60), 10) + ":" + what + ":" + string(h)
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

// keyEvents is a stream: "n" are local ids of videos that were listed, changed or taken
// out, as packSeqs packs them, or empty: that makes a first position.
func keyEvents() string { return "idx:ev" }

// keyCatalogue is a string, drawn once: it tells this catalogue from others.
func keyCatalogue() string { return "idx:of" }

// keyFriends is a hash: host -> JSON of friends.Friend.
func keyFriends() string { return "friends" }

// keyMembers is a set: hosts of friends whose videos are for members.
func keyMembers() string { return "fed:members" }

// keySeen is a string that expires: who took a message of a friend, drawn by it.
func keySeen(h network.Host, id string) string { return "fed:seen:" + string(h) + "/" + id }

// keyTasks is one of asynq's: "active", a list, and "lease", a zset, have the ids of
// tasks that are worked at, "t:ID" is a hash.
func keyTasks(queue, what string) string { return "asynq:{" + queue + "}:" + what }

// keyUsers is a hash: folded name -> record of a user.
func keyUsers() string { return "users" }

// keyProfiles is a hash: folded name -> record of what a user says of themself.
func keyProfiles() string { return "profiles" }

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
