package api

import (
	"net/url"

	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Paths of a pod (design.md, 7).
const (
	PathPod      = "/api/v1/pod"
	PathSession  = "/api/v1/session"
	PathSessions = "/api/v1/sessions"
	PathUsers    = "/api/v1/users"
	PathMe       = "/api/v1/me"
	PathPassword = "/api/v1/me/password"
	PathProfile  = "/api/v1/me/profile"
	PathInvites  = "/api/v1/invites"
	PathVideos   = "/api/v1/videos"
	PathSearch   = "/api/v1/search"
	PathSuggest  = "/api/v1/suggest"
	PathUploads  = "/api/v1/uploads"
	PathFriends  = "/api/v1/friends"

	PathFeeds  = "/feeds" // and /atom or /rss, with the query of PathVideos or PathSearch
	PathOEmbed = "/oembed"
	PathEmbed  = "/embed"

	PathStream        = "/stream"
	PathTorrents      = "/videos"
	PathThumbnails    = "/thumbnails"
	PathTrackerSocket = "/tracker/socket"
	PathAnnounce      = "/tracker/announce"
	PathScrape        = "/tracker/scrape"
	// PathOffer takes an offer straight to the pod's own seeder (SeederOffer).
	PathOffer = "/tracker/offer"
)

// VideoPath is /api/v1/videos/{id}.
func VideoPath(id video.ID) string { return PathVideos + "/" + id.String() }

// DetailsPath is /api/v1/videos/{id}/details.
func DetailsPath(id video.ID) string { return VideoPath(id) + "/details" }

// WatchedPath is /api/v1/videos/{id}/view.
func WatchedPath(id video.ID) string { return VideoPath(id) + "/view" }

// VideoThumbnailPath is where SetThumbnail puts a picture.
func VideoThumbnailPath(id video.ID) string { return VideoPath(id) + "/thumbnail" }

// SessionPath is /api/v1/sessions/{id}.
func SessionPath(id string) string { return PathSessions + "/" + url.PathEscape(id) }

// FriendPath is /api/v1/friends/{host}.
func FriendPath(h network.Host) string { return PathFriends + "/" + url.PathEscape(string(h)) }

// BlockPath is where a pod is blocked, and let in again.
func BlockPath(h network.Host) string { return FriendPath(h) + "/block" }

// UploadPath is /api/v1/uploads/{id}.
func UploadPath(id video.ID) string { return PathUploads + "/" + id.String() }

// StreamPath is /stream/{infohash}/{file}.
func StreamPath(h magnet.InfoHash, file string) string {
	return PathStream + "/" + h.String() + "/" + url.PathEscape(file)
}

// TorrentPath is /videos/{id}.torrent.
func TorrentPath(id video.ID) string { return PathTorrents + "/" + id.String() + ".torrent" }

// ThumbnailPath is /thumbnails/{hash}.webp, "" for no hash.
func ThumbnailPath(hash string) string {
	if hash == "" {
		return ""
	}
	return PathThumbnails + "/" + hash + ".webp"
}

// WatchPath is the page of a video.
func WatchPath(id video.ID) string { return "/watch/" + id.String() }

// EmbedPath is the page of a video's film alone, for a frame in another page.
func EmbedPath(id video.ID) string { return PathEmbed + "/" + id.String() }

// UploaderPath is the page of an uploader's videos.
func UploaderPath(h network.Host, name string) string {
	return "/u/" + url.PathEscape(name) + "@" + string(h)
}

// TagPath is the page of the videos that have a tag.
func TagPath(tag string) string { return "/?tag=" + url.QueryEscape(tag) }

// SeederOffer is the body of PathOffer: a WebRTC offer to the pod's seeder, sent
// without waiting for ICE candidates.
type SeederOffer struct {
	InfoHash magnet.InfoHash `json:"infoHash"`
	PeerID   string          `json:"peerId"` // 40 hexadecimal digits
	SDP      string          `json:"sdp"`
}

// SeederAnswer is the answer to a SeederOffer.
type SeederAnswer struct {
	PeerID string `json:"peerId"` // the seeder's, 40 hexadecimal digits
	SDP    string `json:"sdp"`
}

// Links are the addresses of a video at its origin. Its picture comes from whoever lists it.
type Links struct {
	Magnet, Torrent, Stream string
}

// LinksOf makes the absolute addresses of v at its origin from the parts that are
// stored: nothing stored names a scheme (design.md, 4). secure says whether the
// origin is reached by https. pass is in those of the file, and may be none.
func LinksOf(v *video.Video, secure bool, pass Pass) Links {
	web := Base(v.Origin, secure)
	l := Links{Torrent: WithPass(web+TorrentPath(v.ID), pass)}
	if len(v.Renditions) == 0 {
		return l
	}
	r := v.Renditions[0]
	l.Stream = WithPass(web+StreamPath(r.InfoHash, r.FileName), pass)
	l.Magnet = magnet.Magnet{
		InfoHash: r.InfoHash, Name: r.FileName, Length: r.Size,
		Trackers: Trackers(v.Origin, secure, pass),
		WebSeeds: []string{l.Stream}, Sources: []string{l.Torrent},
	}.String()
	return l
}

// Trackers are those of a pod, for its own files. The one for BitTorrent clients comes first:
// aria2c tries the other one, which it does not know, for two seconds. Browsers take theirs.
func Trackers(h network.Host, secure bool, pass Pass) []string {
	return []string{WithPass(Base(h, secure)+PathAnnounce, pass), WithPass(SocketBase(h, secure)+PathTrackerSocket, pass)}
}

// Base is the address of a pod without a path.
func Base(h network.Host, secure bool) string {
	if secure {
		return "https://" + string(h)
	}
	return "http://" + string(h)
}

// SocketBase is Base for WebSockets.
func SocketBase(h network.Host, secure bool) string {
	if secure {
		return "wss://" + string(h)
	}
	return "ws://" + string(h)
}

// HandOver is what a media element gets of a range that reaches the end of a film: so
// few bytes that its next range already goes through the service worker, which may have
// a swarm engine then.
const HandOver = 512 << 10

// FirstHandOver is HandOver where the range begins with the film. Its first frame takes
// 850 KB at 4 Mbit/s, and another request before it costs a round trip.
const FirstHandOver = 1 << 20
