package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Client asks a pod over HTTP.
type Client struct {
	base  string
	token string
}

var _ Methods = (*Client)(nil)

// NewClient makes a client for the pod at base ("https://pod.example", or "" in a
// page of the pod itself). token may be empty: a browser has the cookie.
func NewClient(base, token string) *Client {
	return &Client{base: base, token: token}
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 8 << 20

// do sends in as JSON, or as it is where it is []byte, and reads the answer into
// out where that is not nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	r := request{method: method, url: c.base + path, token: c.token}
	switch in := in.(type) {
	case nil:
	case []byte:
		r.body, r.contentType = in, "image/webp"
	default:
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		r.body, r.contentType = b, "application/json"
	}
	a, err := exchange(ctx, r, maxAnswer)
	if err != nil {
		return &Error{Code: CodeOffline, Message: "The pod cannot be reached. Check your connection and try again.", Cause: err}
	}
	if a.status >= 400 {
		var e Error
		if json.Unmarshal(a.body, &e) != nil || e.Code == "" {
			return &Error{Code: CodeInternal, Message: "The pod answered " + statusLine(a.status) + "."}
		}
		return &e
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return &Error{Code: CodeInternal, Message: "The pod's answer could not be read.", Cause: err}
	}
	return nil
}

func get[T any](ctx context.Context, c *Client, path string) (out T, err error) {
	err = c.do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

func post[T any](ctx context.Context, c *Client, path string, in any) (out T, err error) {
	err = c.do(ctx, http.MethodPost, path, in, &out)
	return out, err
}

// Pod implements Methods.
func (c *Client) Pod(ctx context.Context) (Pod, error) { return get[Pod](ctx, c, PathPod) }

// Login implements Methods.
func (c *Client) Login(ctx context.Context, in Credentials) (Session, error) {
	return post[Session](ctx, c, PathSession, in)
}

// Register implements Methods.
func (c *Client) Register(ctx context.Context, in Registration) (Session, error) {
	return post[Session](ctx, c, PathUsers, in)
}

// Logout implements Methods.
func (c *Client) Logout(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, PathSession, nil, nil)
}

// Me implements Methods.
func (c *Client) Me(ctx context.Context) (User, error) { return get[User](ctx, c, PathMe) }

// SetProfile implements Methods.
func (c *Client) SetProfile(ctx context.Context, in video.Profile) error {
	return c.do(ctx, http.MethodPut, PathProfile, in, nil)
}

// ChangePassword implements Methods.
func (c *Client) ChangePassword(ctx context.Context, in PasswordChange) error {
	return c.do(ctx, http.MethodPut, PathPassword, in, nil)
}

// Sessions implements Methods.
func (c *Client) Sessions(ctx context.Context) ([]SessionInfo, error) {
	return get[[]SessionInfo](ctx, c, PathSessions)
}

// EndSession implements Methods.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, SessionPath(id), nil, nil)
}

// CreateInvite implements Methods.
func (c *Client) CreateInvite(ctx context.Context) (Invite, error) {
	return post[Invite](ctx, c, PathInvites, struct{}{})
}

// Videos implements Methods.
func (c *Client) Videos(ctx context.Context, q VideosQuery) (VideoPage, error) {
	return getPage[VideoPage](ctx, c, PathVideos, map[string]string{
		"sort": string(q.Sort), "origin": string(q.Origin), "uploader": q.Uploader, "tag": q.Tag, "cursor": q.Cursor,
	}, q.Limit)
}

// Search implements Methods.
func (c *Client) Search(ctx context.Context, q SearchQuery) (SearchPage, error) {
	return getPage[SearchPage](ctx, c, PathSearch, map[string]string{"q": q.Text, "cursor": q.Cursor}, q.Limit)
}

// Suggest implements Methods.
func (c *Client) Suggest(ctx context.Context, text string) (Suggestions, error) {
	return getPage[Suggestions](ctx, c, PathSuggest, map[string]string{"q": text}, 0)
}

func getPage[T any](ctx context.Context, c *Client, path string, query map[string]string, limit int) (T, error) {
	v := url.Values{}
	for key, value := range query {
		if value != "" {
			v.Set(key, value)
		}
	}
	if limit > 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	return get[T](ctx, c, path)
}

// Video implements Methods.
func (c *Client) Video(ctx context.Context, id video.ID) (Video, error) {
	return get[Video](ctx, c, VideoPath(id))
}

// Details implements Methods.
func (c *Client) Details(ctx context.Context, id video.ID) (Details, error) {
	return get[Details](ctx, c, DetailsPath(id))
}

// EditVideo implements Methods.
func (c *Client) EditVideo(ctx context.Context, id video.ID, in VideoEdit) (out Video, err error) {
	err = c.do(ctx, http.MethodPatch, VideoPath(id), in, &out)
	return out, err
}

// SetThumbnail implements Methods.
func (c *Client) SetThumbnail(ctx context.Context, id video.ID, webp []byte) error {
	return c.do(ctx, http.MethodPut, VideoThumbnailPath(id), webp, nil)
}

// Watched implements Methods.
func (c *Client) Watched(ctx context.Context, id video.ID) error {
	return c.do(ctx, http.MethodPost, WatchedPath(id), struct{}{}, nil)
}

// RemoveVideo implements Methods.
func (c *Client) RemoveVideo(ctx context.Context, id video.ID) error {
	return c.do(ctx, http.MethodDelete, VideoPath(id), nil, nil)
}

// Uploads implements Methods.
func (c *Client) Uploads(ctx context.Context) ([]Upload, error) {
	return get[[]Upload](ctx, c, PathUploads)
}

// Friends implements Methods.
func (c *Client) Friends(ctx context.Context) (FriendList, error) {
	return get[FriendList](ctx, c, PathFriends)
}

// JoinPods implements Methods.
func (c *Client) JoinPods(ctx context.Context, in PodsToJoin) error {
	return c.do(ctx, http.MethodPost, PathFriends, in, nil)
}

// LeavePod implements Methods.
func (c *Client) LeavePod(ctx context.Context, h network.Host) error {
	return c.do(ctx, http.MethodDelete, FriendPath(h), nil, nil)
}

// BlockPod implements Methods.
func (c *Client) BlockPod(ctx context.Context, h network.Host) error {
	return c.do(ctx, http.MethodPut, BlockPath(h), nil, nil)
}

// UnblockPod implements Methods.
func (c *Client) UnblockPod(ctx context.Context, h network.Host) error {
	return c.do(ctx, http.MethodDelete, BlockPath(h), nil, nil)
}
