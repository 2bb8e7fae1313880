package api

import (
	"context"
	"time"

	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Methods is what a viewer, an uploader or an administrator asks of a pod. Who
// asks travels in the context at the pod, and in the cookie at the client.
type Methods interface {
	// Pod says what this pod is and what it allows.
	Pod(ctx context.Context) (Pod, error)

	// Login begins a session.
	Login(ctx context.Context, in Credentials) (Session, error)
	// Register makes an account and begins a session, as the pod's policy allows.
	Register(ctx context.Context, in Registration) (Session, error)
	// Logout ends the session of the caller.
	Logout(ctx context.Context) error
	// Me is the caller's account; CodeUnauthorized without a session.
	Me(ctx context.Context) (User, error)
	// SetProfile changes what others read of the caller.
	SetProfile(ctx context.Context, in video.Profile) error
	// ChangePassword sets a new password and ends the caller's other sessions.
	ChangePassword(ctx context.Context, in PasswordChange) error
	// Sessions lists where the caller is logged in, the newest first.
	Sessions(ctx context.Context) ([]SessionInfo, error)
	// EndSession ends one of the caller's sessions by SessionInfo.ID.
	EndSession(ctx context.Context, id string) error
	// CreateInvite makes a link with which one person may register (moderators).
	CreateInvite(ctx context.Context) (Invite, error)

	// Videos lists videos.
	Videos(ctx context.Context, q VideosQuery) (VideoPage, error)
	// Search lists videos that fit what somebody typed, the best first.
	Search(ctx context.Context, q SearchQuery) (SearchPage, error)
	// Suggest completes what somebody types.
	Suggest(ctx context.Context, text string) (Suggestions, error)
	// Video is one video.
	Video(ctx context.Context, id video.ID) (Video, error)
	// Details is what a list has no room for. Of another pod's video this pod asks that
	// pod, and answers what it was told before where that cannot be reached.
	Details(ctx context.Context, id video.ID) (Details, error)
	// EditVideo changes what is said of a video, or of an upload under way. Only
	// its uploader and moderators may.
	EditVideo(ctx context.Context, id video.ID, in VideoEdit) (Video, error)
	// SetThumbnail sets the picture of a video, or of an upload under way.
	SetThumbnail(ctx context.Context, id video.ID, webp []byte) error
	// Watched says that the caller has watched some seconds of a video. It counts once a
	// viewer and day.
	Watched(ctx context.Context, id video.ID) error
	// RemoveVideo removes a video everywhere.
	RemoveVideo(ctx context.Context, id video.ID) error

	// Uploads lists the caller's unfinished uploads, the newest first.
	Uploads(ctx context.Context) ([]Upload, error)

	// Friends lists this pod's friends, by host; for administrators also the pods that
	// are none, or not yet.
	Friends(ctx context.Context) (FriendList, error)
	// JoinPods asks pods, and the network they are of, for friendship (administrators).
	JoinPods(ctx context.Context, in PodsToJoin) error
	// LeavePod ends a friendship (administrators).
	LeavePod(ctx context.Context, h network.Host) error
	// BlockPod keeps a pod out (administrators).
	BlockPod(ctx context.Context, h network.Host) error
	// UnblockPod lets a pod come back (administrators).
	UnblockPod(ctx context.Context, h network.Host) error
}

// Pod is what a pod says of itself.
type Pod struct {
	Name         string       `json:"name"`
	Host         network.Host `json:"host"`
	Version      string       `json:"version"`
	Registration string       `json:"registration"` // "closed", "invite" or "open"
	Viewing      string       `json:"viewing"`      // "public" or "members": who may watch its own videos
	Limits       PodLimits    `json:"limits"`
	// STUN is where a browser learns the address at which others see it, "stun:host:port";
	// "" for none.
	STUN string `json:"stun,omitempty"`
	// SwarmViewers is how many have to watch a film until browsers connect to each other;
	// 0 and 1 are any number.
	SwarmViewers int `json:"swarmViewers,omitempty"`
}

// PodLimits are limits that a client should know beforehand; 0 is none.
type PodLimits struct {
	UploadBytes      int64 `json:"uploadBytes"`
	QuotaBytes       int64 `json:"quotaBytes"` // of a new account
	NameRunes        int   `json:"nameRunes"`
	DescriptionRunes int   `json:"descriptionRunes"`
	Tags             int   `json:"tags"`
}

// Credentials log in.
type Credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Registration makes an account. Setup is the token of the first-run link and
// makes an administrator; Invite is the token of an invitation.
type Registration struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Invite   string `json:"invite,omitempty"`
	Setup    string `json:"setup,omitempty"`
}

// PasswordChange sets a new password.
type PasswordChange struct {
	Old string `json:"old"`
	New string `json:"new"`
}

// Role is what an account may do.
type Role string

// The roles; each may do what the ones below it may.
const (
	RoleAdmin     Role = "admin"
	RoleModerator Role = "moderator"
	RoleUser      Role = "user"
)

// User is an account as its owner sees it.
type User struct {
	Username   string    `json:"username"`
	Role       Role      `json:"role"`
	QuotaBytes int64     `json:"quotaBytes"` // 0 is none
	UsedBytes  int64     `json:"usedBytes"`  // videos and uploads under way
	Created    time.Time `json:"createdAt"`
	// Profile is what others read of the account.
	Profile video.Profile `json:"profile"`
}

// Session is a session that began.
type Session struct {
	Token   string    `json:"token"`
	User    User      `json:"user"`
	Expires time.Time `json:"expiresAt"`
}

// SessionInfo is a session as its owner sees it.
type SessionInfo struct {
	ID       string    `json:"id"`
	Client   string    `json:"client"` // browser and system, from User-Agent
	Created  time.Time `json:"createdAt"`
	LastSeen time.Time `json:"lastSeenAt"`
	Current  bool      `json:"current"`
}

// Invite is an invitation for one person.
type Invite struct {
	Token   string    `json:"token"`
	URL     string    `json:"url"`
	Expires time.Time `json:"expiresAt"`
}

// VideosQuery asks for a page of videos.
type VideosQuery struct {
	Sort     Sort         // "" is Newest
	Origin   network.Host // "" is any
	Uploader string       // "" is any; a name is of the pod in Origin, or of this pod
	Tag      string       // "" is any
	Cursor   string       // of a page with the same sort and filters
	Limit    int          // 1..MaxPage; 0 is DefaultPage
}

// Sort is the order of a list.
type Sort string

// The orders.
const (
	Newest   Sort = "newest"
	Trending Sort = "trending" // the most watched of late first; what nobody watched is not there
)

// Sizes of a page of videos.
const (
	DefaultPage = 24
	MaxPage     = 100
)

// PageLimit is how many videos a page has that is asked for with a Limit.
func PageLimit(limit int) int {
	if limit <= 0 {
		return DefaultPage
	}
	return min(limit, MaxPage)
}

// VideoPage is a page of videos.
type VideoPage struct {
	Videos []Video `json:"videos"`
	Cursor string  `json:"cursor"` // "" on the last page
}

// SearchQuery asks for a page of what a search finds.
type SearchQuery struct {
	Text   string // at most MaxQuery bytes; what may be in it says package kinopod/pod/search
	Cursor string
	Limit  int // 1..MaxPage; 0 is DefaultPage
}

// MaxQuery is how long a question is at most, in bytes.
const MaxQuery = 500

// SearchPage is a page of videos that a search found. It may be short, or empty, although
// more follow: Cursor tells.
type SearchPage struct {
	Videos []Video `json:"videos"`
	Cursor string  `json:"cursor"` // "" on the last page
	// Cut says that the search would have taken too long: old videos are missing.
	Cut bool `json:"cut,omitempty"`
	// Building says that the pod has not read all videos for searching yet, as after a
	// start: more will be found soon. Built is the share that it has, 0 to 1.
	Building bool    `json:"building,omitempty"`
	Built    float64 `json:"built,omitempty"`
}

// Suggestions are what a search box shows while somebody types.
type Suggestions struct {
	Suggestions []string         `json:"suggestions"` // what was typed, completed; the likeliest first
	Videos      []SuggestedVideo `json:"videos"`      // that what was typed finds, the best first
}

// SuggestedVideo is a video in a search box.
type SuggestedVideo struct {
	ID   video.ID `json:"id"`
	Name string   `json:"name"`
}

// Video is a video as a client sees it.
type Video struct {
	ID           video.ID     `json:"id"`
	Origin       network.Host `json:"origin"`
	Name         string       `json:"name"`
	Description  string       `json:"description"` // or its beginning, see video.IsCut and Details
	Uploader     string       `json:"uploader"`
	Tags         []string     `json:"tags"`
	Created      time.Time    `json:"createdAt"`
	Duration     float64      `json:"duration"` // seconds
	ThumbnailURL string       `json:"thumbnailUrl"`
	Magnet       string       `json:"magnet"`
	TorrentURL   string       `json:"torrentUrl"`
	StreamURL    string       `json:"streamUrl"` // of the first rendition
	Renditions   []Rendition  `json:"renditions"`
	Views        int64        `json:"views"` // as far as this pod knows
	Mine         bool         `json:"mine"`  // the caller may change and remove it
	// Unreachable says that the origin could not be reached lately: the video plays where
	// viewers have it.
	Unreachable bool `json:"unreachable,omitempty"`
	// Members says that the video is for members of its pod and of that pod's friends. The
	// addresses are without a pass, and no use, where the caller is none.
	Members bool `json:"members,omitempty"`
}

// Details is what is asked for one video at a time.
type Details struct {
	Description string        `json:"description"` // all of it
	Uploader    video.Profile `json:"uploader"`
	AsOf        time.Time     `json:"asOf"` // when the pod that the video comes from said so
	// Stale says that this is older than it should be: that pod could not be asked.
	Stale bool `json:"stale,omitempty"`
}

// Rendition is one file of a video.
type Rendition struct {
	InfoHash magnet.InfoHash `json:"infoHash"`
	Size     int64           `json:"size"` // bytes
	MIME     string          `json:"mime"`
	FileName string          `json:"fileName"`
	Width    int             `json:"width"`
	Height   int             `json:"height"`
}

// VideoEdit changes the fields that are not nil.
type VideoEdit struct {
	Name        *string   `json:"name,omitempty"`
	Description *string   `json:"description,omitempty"`
	Tags        *[]string `json:"tags,omitempty"`
}

// Upload is an upload that is not finished.
type Upload struct {
	ID          video.ID  `json:"id"`
	Uploader    string    `json:"uploader"`
	FileName    string    `json:"fileName"`
	Size        int64     `json:"size"`   // bytes declared
	Offset      int64     `json:"offset"` // bytes received
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Tags        []string  `json:"tags"`
	Created     time.Time `json:"createdAt"`
	Expires     time.Time `json:"expiresAt"`
}

// FriendList is who a pod's friends are.
type FriendList struct {
	Host    network.Host `json:"host"` // this pod
	Friends []Friend     `json:"friends"`
}

// Friend is another pod as this one knows it.
type Friend struct {
	Host         network.Host  `json:"host"`
	State        network.State `json:"state"`
	Name         string        `json:"name"`
	Score        network.Score `json:"score"`
	Reachable    bool          `json:"reachable"`
	Dormant      bool          `json:"dormant,omitempty"`     // it speaks no version of the protocol that this pod speaks, until one of both upgrades
	Since        time.Time     `json:"since"`                 // of the state
	Videos       int           `json:"videos"`                // of it that are listed here
	LastDelivery time.Time     `json:"lastDelivery,omitzero"` // that succeeded
	Behind       int           `json:"behind"`                // changes of ours that it does not know yet
	Problem      string        `json:"problem,omitempty"`     // of the last delivery; for administrators
}

// PodsToJoin are pods to make friends with.
type PodsToJoin struct {
	Hosts []network.Host `json:"hosts"`
}

// Keys of Upload-Metadata (tus): filename, filetype; name, description, tags
// (separated by commas).
const (
	MetaFileName    = "filename"
	MetaFileType    = "filetype"
	MetaName        = "name"
	MetaDescription = "description"
	MetaTags        = "tags"
)

// HeaderVideoID is on the response that completes an upload, and on a HEAD of one
// that is complete.
const HeaderVideoID = "Kinopod-Video-Id"

// Limits of what is sent.
const (
	MaxBody      = 256 << 10 // bytes of a JSON body
	MaxThumbnail = 512 << 10 // bytes of a WebP picture that an uploader sends
	MaxPicture   = 20 << 10  // bytes of one that pods hand to each other
)

// Thumbnail size that browsers and pods make, in pixels.
const (
	ThumbnailWidth  = 640
	ThumbnailHeight = 360
)
