package httpapi

import (
	"context"
	"net/netip"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/household"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// Accounts are the rules of accounts and sessions; *accounts.Accounts.
type Accounts interface {
	Authenticate(ctx context.Context, token string) (accounts.Actor, error)
	Login(ctx context.Context, in api.Credentials, from netip.Addr, client string) (api.Session, error)
	Register(ctx context.Context, in api.Registration, from netip.Addr, client string) (api.Session, error)
	Logout(ctx context.Context, who accounts.Actor) error
	Me(ctx context.Context, who accounts.Actor) (api.User, error)
	Profile(ctx context.Context, name string) (video.Profile, error)
	SetProfile(ctx context.Context, who accounts.Actor, in video.Profile) error
	ChangePassword(ctx context.Context, who accounts.Actor, in api.PasswordChange) error
	Sessions(ctx context.Context, who accounts.Actor) ([]api.SessionInfo, error)
	EndSession(ctx context.Context, who accounts.Actor, id string) error
	CreateInvite(ctx context.Context, who accounts.Actor) (api.Invite, error)
}

// Catalog is the index of videos; *catalog.Catalog.
type Catalog interface {
	Get(ctx context.Context, id video.ID) (video.Video, error)
	Text(ctx context.Context, id video.ID) (string, error)
	ByInfoHash(ctx context.Context, h magnet.InfoHash) (video.Video, error)
	Newest(ctx context.Context, q api.VideosQuery) ([]video.Video, string, error)
	Search(ctx context.Context, q api.SearchQuery) (catalog.Found, error)
	Suggest(ctx context.Context, text string) (words []string, videos []video.Video, err error)
	Edit(ctx context.Context, who catalog.Editor, id video.ID, in api.VideoEdit) (video.Video, error)
}

// Views counts who watched what; *views.Counter.
type Views interface {
	// Watched counts a view of a viewer: an account or an address.
	Watched(ctx context.Context, viewer string, id video.ID) error
	Trending(ctx context.Context, q api.VideosQuery) ([]video.Video, string, error)
}

// Friends are the other pods.
type Friends interface {
	// List gives what everybody may know, or also what an operator may.
	List(ctx context.Context, operator bool) ([]api.Friend, error)
	// At says how a pod is reached: by https, and whether it was lately.
	At(ctx context.Context, h network.Host) (secure, reachable bool)
	Join(ctx context.Context, hosts []network.Host) error
	Leave(ctx context.Context, h network.Host) error
	Block(ctx context.Context, h network.Host) error
	Unblock(ctx context.Context, h network.Host) error
}

// Foreign is what this pod has, or gets, of friends' videos.
type Foreign interface {
	// Picture has a thumbnail here, if it can be had, and says where.
	Picture(ctx context.Context, hash string) (path string, err error)
	Details(ctx context.Context, v video.Video) (api.Details, error)
	// Access says whether a video is for members, and gives a pass where it is and member
	// says that the viewer is one. Where ask is set its origin is asked what is not known.
	Access(ctx context.Context, v video.Video, member, ask bool) (pass api.Pass, members bool)
	Torrent(ctx context.Context, v video.Video) (*torrent.Torrent, error)
}

// Publisher turns uploads into videos and back. Errors have api.CodeNotFound for
// what is not there (any more).
type Publisher interface {
	Uploads(ctx context.Context, username string) ([]api.Upload, error)
	// EditUpload and SetThumbnail act on an upload under way; SetThumbnail on a
	// video too.
	EditUpload(ctx context.Context, who accounts.Actor, id video.ID, in api.VideoEdit) (api.Upload, error)
	SetThumbnail(ctx context.Context, who accounts.Actor, id video.ID, webp []byte) error
	// Withdraw removes a video, or an upload under way.
	Withdraw(ctx context.Context, who accounts.Actor, id video.ID) error
}

// Files are the files of videos on disk.
type Files interface {
	// Open gives the torrent of h and where its file is; api.CodeNotFound.
	Open(h magnet.InfoHash) (t *torrent.Torrent, path string, err error)
	// ThumbnailPath is "" for what is not a hash of a picture.
	ThumbnailPath(hash string) string
}

// API is the pod's own implementation of api.Methods, for its routes and for
// rendering pages.
type API struct {
	cfg     Config
	parts   Parts
	metrics *metrics
	caller  *Caller // nil: the caller is in the context
}

var _ api.Methods = (*API)(nil)

// as is the API for one caller, whatever the context says.
func (a *API) as(c Caller) *API {
	b := *a
	b.caller = &c
	return &b
}

func (a *API) who(ctx context.Context) Caller {
	if a.caller != nil {
		return *a.caller
	}
	return CallerOf(ctx)
}

// actor is the caller's account; api.CodeUnauthorized without one.
func (a *API) actor(ctx context.Context) (accounts.Actor, error) {
	who := a.who(ctx).Actor
	if who.Username == "" {
		return who, &api.Error{Code: api.CodeUnauthorized, Message: "Log in first."}
	}
	return who, nil
}

// asActor calls f for the caller's account.
func asActor[T any](ctx context.Context, a *API, f func(context.Context, accounts.Actor) (T, error)) (T, error) {
	who, err := a.actor(ctx)
	if err != nil {
		var none T
		return none, err
	}
	return f(ctx, who)
}

// Pod implements api.Methods.
func (a *API) Pod(context.Context) (api.Pod, error) {
	return api.Pod{
		Name: a.cfg.Name, Host: a.cfg.Host, Version: a.cfg.Version, Registration: a.cfg.Registration, Viewing: a.parts.Viewing.Policy(), STUN: a.cfg.STUN, SwarmViewers: a.cfg.SwarmViewers,
		Limits: api.PodLimits{
			UploadBytes: int64(a.cfg.Limits.UploadBytes), QuotaBytes: int64(a.cfg.Limits.QuotaBytes),
			NameRunes: video.MaxName, DescriptionRunes: video.MaxText, Tags: video.MaxTags,
		},
	}, nil
}

// Login implements api.Methods.
func (a *API) Login(ctx context.Context, in api.Credentials) (api.Session, error) {
	c := a.who(ctx)
	s, err := a.parts.Accounts.Login(ctx, in, c.From, c.Client)
	a.metrics.login(err)
	return s, err
}

// Register implements api.Methods.
func (a *API) Register(ctx context.Context, in api.Registration) (api.Session, error) {
	c := a.who(ctx)
	return a.parts.Accounts.Register(ctx, in, c.From, c.Client)
}

// Logout implements api.Methods. Without a session there is nothing to end.
func (a *API) Logout(ctx context.Context) error {
	who, err := a.actor(ctx)
	if err != nil {
		return nil
	}
	return a.parts.Accounts.Logout(ctx, who)
}

// Me implements api.Methods.
func (a *API) Me(ctx context.Context) (api.User, error) {
	return asActor(ctx, a, a.parts.Accounts.Me)
}

// SetProfile implements api.Methods.
func (a *API) SetProfile(ctx context.Context, in video.Profile) error {
	who, err := a.actor(ctx)
	if err != nil {
		return err
	}
	return a.parts.Accounts.SetProfile(ctx, who, in)
}

// ChangePassword implements api.Methods.
func (a *API) ChangePassword(ctx context.Context, in api.PasswordChange) error {
	who, err := a.actor(ctx)
	if err != nil {
		return err
	}
	return a.parts.Accounts.ChangePassword(ctx, who, in)
}

// Sessions implements api.Methods.
func (a *API) Sessions(ctx context.Context) ([]api.SessionInfo, error) {
	return asActor(ctx, a, a.parts.Accounts.Sessions)
}

// EndSession implements api.Methods.
func (a *API) EndSession(ctx context.Context, id string) error {
	who, err := a.actor(ctx)
	if err != nil {
		return err
	}
	return a.parts.Accounts.EndSession(ctx, who, id)
}

// CreateInvite implements api.Methods.
func (a *API) CreateInvite(ctx context.Context) (api.Invite, error) {
	return asActor(ctx, a, a.parts.Accounts.CreateInvite)
}

// Videos implements api.Methods.
func (a *API) Videos(ctx context.Context, q api.VideosQuery) (api.VideoPage, error) {
	page := api.VideoPage{Videos: []api.Video{}}
	list := a.parts.Catalog.Newest
	if q.Sort == api.Trending {
		list = a.parts.Views.Trending
	}
	videos, cursor, err := list(ctx, q)
	if err != nil {
		return page, err
	}
	page.Cursor, page.Videos = cursor, a.views(ctx, videos)
	return page, nil
}

var errLongQuery = &api.Error{Code: api.CodeTooLarge, Message: "The question is too long."}

// Search implements api.Methods.
func (a *API) Search(ctx context.Context, q api.SearchQuery) (api.SearchPage, error) {
	page := api.SearchPage{Videos: []api.Video{}}
	if len(q.Text) > api.MaxQuery {
		return page, errLongQuery
	}
	found, err := a.parts.Catalog.Search(ctx, q)
	if err != nil {
		return page, err
	}
	page.Cursor, page.Cut = found.Cursor, found.Cut
	if !found.Whole {
		page.Building, page.Built = true, found.Share
	}
	page.Videos = a.views(ctx, found.Videos)
	return page, nil
}

// Suggest implements api.Methods.
func (a *API) Suggest(ctx context.Context, text string) (api.Suggestions, error) {
	out := api.Suggestions{Suggestions: []string{}, Videos: []api.SuggestedVideo{}}
	if len(text) > api.MaxQuery {
		return out, errLongQuery
	}
	words, videos, err := a.parts.Catalog.Suggest(ctx, text)
	if err != nil {
		return out, err
	}
	out.Suggestions = append(out.Suggestions, words...)
	for _, v := range videos {
		out.Videos = append(out.Videos, api.SuggestedVideo{ID: v.ID, Name: v.Name})
	}
	return out, nil
}

// Video implements api.Methods.
func (a *API) Video(ctx context.Context, id video.ID) (api.Video, error) {
	v, err := a.parts.Catalog.Get(ctx, id)
	if err != nil {
		return api.Video{}, err
	}
	return a.view(ctx, v, true), nil
}

// Details implements api.Methods.
func (a *API) Details(ctx context.Context, id video.ID) (api.Details, error) {
	v, err := a.parts.Catalog.Get(ctx, id)
	if err != nil {
		return api.Details{}, err
	}
	if v.Origin != a.cfg.Host {
		return a.parts.Foreign.Details(ctx, v)
	}
	out := api.Details{AsOf: time.Now().UTC().Truncate(time.Millisecond)}
	if out.Description, err = a.parts.Catalog.Text(ctx, id); err != nil {
		return api.Details{}, err
	}
	out.Uploader, err = a.parts.Accounts.Profile(ctx, v.Uploader)
	return out, err
}

// EditVideo implements api.Methods. An upload may become a video while it is
// asked for, so the catalogue is asked again after it.
func (a *API) EditVideo(ctx context.Context, id video.ID, in api.VideoEdit) (api.Video, error) {
	who, err := a.actor(ctx)
	if err != nil {
		return api.Video{}, err
	}
	editor := catalog.Editor{Username: who.Username, Moderator: who.MayModerate()}
	v, err := a.parts.Catalog.Edit(ctx, editor, id, in)
	if !api.Is(err, api.CodeNotFound) {
		return a.view(ctx, v, false), err
	}
	up, err := a.parts.Publisher.EditUpload(ctx, who, id, in)
	if err == nil {
		return viewUpload(up, a.cfg.Host), nil
	}
	if !api.Is(err, api.CodeNotFound) {
		return api.Video{}, err
	}
	v, err = a.parts.Catalog.Edit(ctx, editor, id, in)
	return a.view(ctx, v, false), err
}

// SetThumbnail implements api.Methods.
func (a *API) SetThumbnail(ctx context.Context, id video.ID, webp []byte) error {
	who, err := a.actor(ctx)
	if err != nil {
		return err
	}
	return a.parts.Publisher.SetThumbnail(ctx, who, id, webp)
}

// Watched implements api.Methods.
func (a *API) Watched(ctx context.Context, id video.ID) error {
	c := a.who(ctx)
	viewer := "address " + household.Of(c.From).String()
	if c.Actor.Username != "" {
		viewer = "account " + accounts.Fold(c.Actor.Username)
	}
	return a.parts.Views.Watched(ctx, viewer, id)
}

// RemoveVideo implements api.Methods.
func (a *API) RemoveVideo(ctx context.Context, id video.ID) error {
	who, err := a.actor(ctx)
	if err != nil {
		return err
	}
	return a.parts.Publisher.Withdraw(ctx, who, id)
}

// Uploads implements api.Methods.
func (a *API) Uploads(ctx context.Context) ([]api.Upload, error) {
	return asActor(ctx, a, func(ctx context.Context, who accounts.Actor) ([]api.Upload, error) {
		return a.parts.Publisher.Uploads(ctx, who.Username)
	})
}

// Friends implements api.Methods.
func (a *API) Friends(ctx context.Context) (api.FriendList, error) {
	list, err := a.parts.Friends.List(ctx, a.who(ctx).Actor.Role == api.RoleAdmin)
	return api.FriendList{Host: a.cfg.Host, Friends: list}, err
}

// asOperator calls f where the caller is an administrator.
func (a *API) asOperator(ctx context.Context, f func() error) error {
	who, err := a.actor(ctx)
	if err != nil {
		return err
	}
	if who.Role != api.RoleAdmin {
		return &api.Error{Code: api.CodeForbidden, Message: "Only administrators may do this."}
	}
	return f()
}

// maxJoin is how many pods may be named at once.
const maxJoin = 20

// JoinPods implements api.Methods.
func (a *API) JoinPods(ctx context.Context, in api.PodsToJoin) error {
	return a.asOperator(ctx, func() error {
		if len(in.Hosts) == 0 || len(in.Hosts) > maxJoin {
			return &api.Error{Code: api.CodeInvalid, Message: "Name one to twenty pods."}
		}
		for i, h := range in.Hosts {
			parsed, err := network.ParseHost(string(h))
			if err != nil {
				return errNoHost
			}
			in.Hosts[i] = parsed
		}
		return a.parts.Friends.Join(ctx, in.Hosts)
	})
}

// LeavePod implements api.Methods.
func (a *API) LeavePod(ctx context.Context, h network.Host) error {
	return a.asOperator(ctx, func() error { return a.parts.Friends.Leave(ctx, h) })
}

// BlockPod implements api.Methods.
func (a *API) BlockPod(ctx context.Context, h network.Host) error {
	return a.asOperator(ctx, func() error { return a.parts.Friends.Block(ctx, h) })
}

// UnblockPod implements api.Methods.
func (a *API) UnblockPod(ctx context.Context, h network.Host) error {
	return a.asOperator(ctx, func() error { return a.parts.Friends.Unblock(ctx, h) })
}

// views are videos of a list as the caller sees them.
func (a *API) views(ctx context.Context, videos []video.Video) []api.Video {
	out := make([]api.Video, len(videos))
	for i, v := range videos {
		out[i] = a.view(ctx, v, false)
	}
	return out
}

// view is v as the caller sees it; ask says whether its origin may be asked. Its picture
// comes from this pod, whoever made it.
func (a *API) view(ctx context.Context, v video.Video, ask bool) api.Video {
	secure, reachable := a.cfg.Secure(), true
	if v.Origin != a.cfg.Host {
		secure, reachable = a.parts.Friends.At(ctx, v.Origin)
	}
	pass, members := a.access(ctx, v, ask && reachable)
	links := api.LinksOf(&v, secure, pass)
	thumbnail := ""
	if v.Thumbnail != "" {
		thumbnail = api.Base(a.cfg.Host, a.cfg.Secure()) + api.ThumbnailPath(v.Thumbnail)
	}
	who := a.who(ctx).Actor
	out := api.Video{
		ID: v.ID, Origin: v.Origin, Name: v.Name, Description: v.Description, Uploader: v.Uploader,
		Tags: append([]string{}, v.Tags...), Created: v.Created, Duration: v.Duration.Seconds(),
		ThumbnailURL: thumbnail, Magnet: links.Magnet, TorrentURL: links.Torrent, StreamURL: links.Stream,
		Renditions:  make([]api.Rendition, 0, len(v.Renditions)),
		Unreachable: !reachable, Members: members, Views: v.Views,
		Mine: v.Origin == a.cfg.Host && who.Username != "" && (who.Username == v.Uploader || who.MayModerate()),
	}
	for _, r := range v.Renditions {
		out.Renditions = append(out.Renditions, api.Rendition{
			InfoHash: r.InfoHash, Size: r.Size, MIME: r.MIME, FileName: r.FileName, Width: r.Width, Height: r.Height,
		})
	}
	return out
}

// viewUpload is an upload under way as the video that it will be.
func viewUpload(u api.Upload, origin network.Host) api.Video {
	return api.Video{
		ID: u.ID, Origin: origin, Name: u.Name, Description: u.Description, Uploader: u.Uploader,
		Tags: append([]string{}, u.Tags...), Created: u.Created, Renditions: []api.Rendition{}, Mine: true,
	}
}
