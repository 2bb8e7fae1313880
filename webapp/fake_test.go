package webapp

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// fakePod is a pod made of memory: the web app is tested without a real one, which
// package webapp may not import (pod/e2e has both). It keeps the rules that pages show.
type fakePod struct {
	mu       sync.Mutex
	videos   []api.Video // the newest first
	uploads  []api.Upload
	users    map[string]string           // name -> password
	sessions map[string]string           // token -> name
	setup    string                      // token of the first-run link, "" once used
	fail     *api.Error                  // what every call of Videos and Video answers, if any
	delay    time.Duration               // of every call over HTTP
	policy   string                      // of registration
	film     []byte                      // of every video
	friends  []api.Friend                // by host
	details  func() (api.Details, error) // what Details answers, if any
	profile  video.Profile               // of everybody
	joinFail *api.Error                  // what JoinPods answers, if any
	watched  map[video.ID]int            // how often Watched was called

	building  bool     // the search index is
	suggested []string // texts that Suggest was asked for
}

const fakeHost = "pod.example"

func newFakePod(videos int) *fakePod {
	p := &fakePod{
		users: map[string]string{"ada": "a long password"}, sessions: map[string]string{}, watched: map[video.ID]int{}, setup: "first", policy: "invite",
		film: bytes.Repeat([]byte("not a film"), 40000),
	}
	for i := range videos {
		p.videos = append(p.videos, fakeVideo(i))
	}
	return p
}

var fakeNames = []string{
	"Night train to the coast", "How a lens is ground", "Kitchen, Sunday morning", "The last cinema of Zadar", "Bees: a year in the hive",
	"Repairing a 1962 tape recorder, part 3: the capstan, the belts, and what the service manual does not say about either of them",
	"Fog", "Lecture 12 — Error-correcting codes", "Skating on black ice", "Поезд на север", "海辺の町", "مدينة الملح",
}

func fakeVideo(i int) api.Video {
	var id video.ID
	id[0], id[14], id[15] = 7, byte(i>>8), byte(i)
	v := api.Video{
		ID: id, Origin: fakeHost, Name: fakeNames[i%len(fakeNames)], Uploader: []string{"ada", "grace", "Лев", "lin"}[i%4],
		Description: "Shot on two evenings in November.\n\nNo script, no score: only what was there.\nThanks to everybody who held a lamp.",
		Tags:        []string{"short film", "night", "trains"}, Created: time.Now().Add(-time.Duration(i*i) * 37 * time.Minute),
		Views: int64(i * i % 7 * 613), Duration: float64(41 + i*i*17%7200), Magnet: "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20) + "&dn=film.mp4",
		ThumbnailURL: "http://" + fakeHost + "/thumbnails/" + fmt.Sprintf("%064x", i) + ".webp",
		TorrentURL:   "http://" + fakeHost + api.TorrentPath(id), StreamURL: "http://" + fakeHost + api.StreamPath(magnet.InfoHash{1: byte(i)}, "film.mp4"),
		Renditions: []api.Rendition{{InfoHash: magnet.InfoHash{1: byte(i)}, Size: 123_456_789, MIME: video.MP4, FileName: "film.mp4", Width: 1920, Height: 1080}},
	}
	if i%12 == 6 {
		v.ThumbnailURL = ""
	}
	return v
}

// caller is fakePod as one person sees it.
type caller struct {
	*fakePod
	token string
}

var _ api.Methods = caller{}

func (p *fakePod) methods(r *http.Request) api.Methods {
	c, err := r.Cookie("session")
	if err != nil {
		return caller{p, ""}
	}
	return caller{p, c.Value}
}

func (c caller) name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[c.token]
}

func (c caller) Pod(context.Context) (api.Pod, error) {
	return api.Pod{Name: "Lumen", Host: fakeHost, Version: "0.1.0", Registration: c.policy, Limits: api.PodLimits{UploadBytes: 8e9, QuotaBytes: 50e9}}, nil
}

func fail(code api.Code, text string) error { return &api.Error{Code: code, Message: text} }

func (c caller) begin(name string) api.Session {
	token := "token-" + strconv.Itoa(len(c.sessions))
	c.sessions[token] = name
	return api.Session{Token: token, User: fakeUser(name), Expires: time.Now().Add(time.Hour)}
}

func fakeUser(name string) api.User {
	return api.User{Username: name, Role: api.RoleAdmin, QuotaBytes: 50e9, UsedBytes: 12.3e9, Created: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
}

func (c caller) Login(_ context.Context, in api.Credentials) (api.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.users[in.Username]; !ok || p != in.Password {
		return api.Session{}, fail(api.CodeUnauthorized, "The name or the password is wrong.")
	}
	return c.begin(in.Username), nil
}

func (c caller) Register(_ context.Context, in api.Registration) (api.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.Setup != "" && in.Setup != c.setup {
		return api.Session{}, fail(api.CodeForbidden, "The link has been used already.")
	}
	if len(in.Password) < 8 {
		return api.Session{}, fail(api.CodeInvalid, "A password has at least 8 characters.")
	}
	c.setup, c.users[in.Username] = "", in.Password
	return c.begin(in.Username), nil
}

func (c caller) Logout(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, c.token)
	return nil
}

func (c caller) Me(context.Context) (api.User, error) {
	if c.name() == "" {
		return api.User{}, fail(api.CodeUnauthorized, "Log in first.")
	}
	u := fakeUser(c.name())
	c.mu.Lock()
	defer c.mu.Unlock()
	u.Profile = c.profile
	return u, nil
}

func (c caller) ChangePassword(_ context.Context, in api.PasswordChange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.sessions[c.token]
	if c.users[name] != in.Old {
		return fail(api.CodeForbidden, "The current password is wrong.")
	}
	c.users[name] = in.New
	return nil
}

func (c caller) Sessions(context.Context) ([]api.SessionInfo, error) {
	return []api.SessionInfo{
		{ID: "1", Client: "Firefox on Linux", Created: time.Now().Add(-30 * time.Hour), LastSeen: time.Now(), Current: true},
		{ID: "2", Client: "Safari on iOS", Created: time.Now().Add(-300 * time.Hour), LastSeen: time.Now().Add(-5 * time.Hour)},
	}, nil
}

func (c caller) EndSession(context.Context, string) error { return nil }

func (c caller) CreateInvite(context.Context) (api.Invite, error) {
	return api.Invite{Token: "t", URL: "https://pod.example/login?invite=t", Expires: time.Now().Add(72 * time.Hour)}, nil
}

func (c caller) Videos(_ context.Context, q api.VideosQuery) (api.VideoPage, error) {
	me := c.name()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return api.VideoPage{}, c.fail
	}
	if q.Limit == 0 {
		q.Limit = api.DefaultPage
	}
	start, _ := strconv.Atoi(q.Cursor)
	videos := c.videos
	if q.Sort == api.Trending {
		videos = slices.DeleteFunc(slices.Clone(videos), func(v api.Video) bool { return v.Views == 0 })
		slices.SortStableFunc(videos, func(a, b api.Video) int { return int(b.Views - a.Views) })
	}
	page := api.VideoPage{Videos: []api.Video{}}
	for i := start; i < len(videos); i++ {
		if len(page.Videos) == q.Limit {
			page.Cursor = strconv.Itoa(i)
			break
		}
		v := videos[i]
		if (q.Uploader == "" || v.Uploader == q.Uploader) && (q.Origin == "" || v.Origin == q.Origin) && (q.Tag == "" || slices.Contains(v.Tags, q.Tag)) {
			v.Mine = me != "" && v.Uploader == me
			page.Videos = append(page.Videos, v)
		}
	}
	return page, nil
}

func (c caller) Search(ctx context.Context, q api.SearchQuery) (api.SearchPage, error) {
	all, err := c.Videos(ctx, api.VideosQuery{Limit: 1000})
	if err != nil {
		return api.SearchPage{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	page := api.SearchPage{Videos: []api.Video{}, Building: c.building, Built: 0.42}
	start, _ := strconv.Atoi(q.Cursor)
	for i := start; i < len(all.Videos); i++ {
		if len(page.Videos) == q.Limit {
			page.Cursor = strconv.Itoa(i)
			break
		}
		if v := all.Videos[i]; strings.Contains(strings.ToLower(v.Name), strings.ToLower(q.Text)) {
			page.Videos = append(page.Videos, v)
		}
	}
	return page, nil
}

func (c caller) Suggest(ctx context.Context, text string) (api.Suggestions, error) {
	c.mu.Lock()
	c.suggested = append(c.suggested, text)
	c.mu.Unlock()
	page, err := c.Search(ctx, api.SearchQuery{Text: text, Limit: 4})
	out := api.Suggestions{Suggestions: []string{text + " film", text + " story"}, Videos: []api.SuggestedVideo{}}
	for _, v := range page.Videos {
		out.Videos = append(out.Videos, api.SuggestedVideo{ID: v.ID, Name: v.Name})
	}
	return out, err
}

func (c caller) Watched(_ context.Context, id video.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[id]++
	return nil
}

func (c caller) find(id video.ID) int {
	return slices.IndexFunc(c.videos, func(v api.Video) bool { return v.ID == id })
}

func (c caller) Video(_ context.Context, id video.ID) (api.Video, error) {
	me := c.name()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		return api.Video{}, c.fail
	}
	i := c.find(id)
	if i < 0 {
		return api.Video{}, fail(api.CodeNotFound, "There is no such video.")
	}
	v := c.videos[i]
	v.Mine = me != "" && v.Uploader == me
	return v, nil
}

func (c caller) Details(ctx context.Context, id video.ID) (api.Details, error) {
	v, err := c.Video(ctx, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.details != nil {
		return c.details()
	}
	return api.Details{Description: v.Description, Uploader: c.profile, AsOf: time.Now()}, err
}

func (c caller) SetProfile(_ context.Context, in video.Profile) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := in.Clean()
	if err != nil {
		return fail(api.CodeInvalid, "Too long.")
	}
	c.profile = p
	return nil
}

func (c caller) EditVideo(ctx context.Context, id video.ID, in api.VideoEdit) (api.Video, error) {
	c.mu.Lock()
	i := c.find(id)
	if i >= 0 {
		c.videos[i].Name, c.videos[i].Tags = *in.Name, *in.Tags
		if in.Description != nil {
			var v video.Video
			v.SetText(*in.Description)
			c.videos[i].Description = v.Description
		}
	}
	c.mu.Unlock()
	return c.Video(ctx, id)
}

func (c caller) SetThumbnail(context.Context, video.ID, []byte) error { return nil }

func (c caller) RemoveVideo(_ context.Context, id video.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.videos = slices.DeleteFunc(c.videos, func(v api.Video) bool { return v.ID == id })
	c.uploads = slices.DeleteFunc(c.uploads, func(u api.Upload) bool { return u.ID == id })
	return nil
}

func (c caller) Uploads(context.Context) ([]api.Upload, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.uploads), nil
}

// ServeHTTP serves the API, pictures and films; pages come from Handler.
func (p *fakePod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(p.delay)
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/"):
		p.serveAPI(w, r)
	case strings.HasPrefix(r.URL.Path, api.PathThumbnails):
		serveThumbnail(w, r)
	case strings.HasPrefix(r.URL.Path, api.PathStream):
		w.Header().Set("Content-Type", video.MP4)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.film))
	case strings.HasPrefix(r.URL.Path, api.PathTorrents):
		p.serveTorrent(w)
	default:
		http.NotFound(w, r)
	}
}

// torrent is that of the film of every video.
func (p *fakePod) torrent() (*torrent.Torrent, error) {
	length := torrent.PieceLengthFor(int64(len(p.film)))
	var hashes []byte
	for piece := range slices.Chunk(p.film, int(length)) {
		sum := sha1.Sum(piece)
		hashes = append(hashes, sum[:]...)
	}
	return torrent.Build("film.mp4", int64(len(p.film)), length, hashes, fakeHost)
}

func (p *fakePod) serveTorrent(w http.ResponseWriter) {
	t, err := p.torrent()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b, err := t.Metainfo(nil, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(b)
}

func serveThumbnail(w http.ResponseWriter, r *http.Request) {
	hash := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, api.PathThumbnails+"/"), ".webp")
	n, _ := strconv.ParseInt(hash[max(0, len(hash)-4):], 16, 32)
	img := image.NewNRGBA(image.Rect(0, 0, 320, 180))
	for y := range 180 {
		for x := range 320 {
			sun := 255 * max(0, 1-((x-100-int(n)*13%150)*(x-100-int(n)*13%150)+(y-70)*(y-70))/900)
			img.SetNRGBA(x, y, color.NRGBA{uint8(min(255, 20+y*int(n%5+1)/4+sun)), uint8(min(255, 30+(180-y)*int(n%3+1)/5+sun/2)), uint8(50 + (x*int(n%7+1)/12)%120), 255})
		}
	}
	w.Header().Set("Content-Type", "image/png")
	_ = png.Encode(w, img)
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		e := api.AsError(err)
		w.WriteHeader(e.Status())
		v = e
	}
	_ = json.NewEncoder(w).Encode(v)
}

func read[T any](r *http.Request) (v T) {
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &v)
	return v
}

func (p *fakePod) serveAPI(w http.ResponseWriter, r *http.Request) {
	m, ctx := p.methods(r), r.Context()
	id, _ := video.ParseID(strings.TrimPrefix(r.URL.Path, api.PathVideos+"/"))
	of, _ := video.ParseID(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, api.PathVideos+"/"), "/details"))
	viewed, _ := video.ParseID(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, api.PathVideos+"/"), "/view"))
	host := network.Host(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, api.PathFriends+"/"), "/block"))
	switch r.Method + " " + r.URL.Path {
	case "GET " + api.PathPod:
		v, err := m.Pod(ctx)
		answer(w, v, err)
	case "GET " + api.PathMe:
		v, err := m.Me(ctx)
		answer(w, v, err)
	case "POST " + api.PathSession:
		v, err := m.Login(ctx, read[api.Credentials](r))
		begin(w, v, err)
	case "POST " + api.PathUsers:
		v, err := m.Register(ctx, read[api.Registration](r))
		begin(w, v, err)
	case "DELETE " + api.PathSession:
		answer(w, struct{}{}, m.Logout(ctx))
	case "GET " + api.PathSessions:
		v, err := m.Sessions(ctx)
		answer(w, v, err)
	case "PUT " + api.PathPassword:
		answer(w, struct{}{}, m.ChangePassword(ctx, read[api.PasswordChange](r)))
	case "POST " + api.PathInvites:
		v, err := m.CreateInvite(ctx)
		answer(w, v, err)
	case "GET " + api.PathUploads:
		v, err := m.Uploads(ctx)
		answer(w, v, err)
	case "GET " + api.PathVideos:
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		v, err := m.Videos(ctx, api.VideosQuery{
			Sort: api.Sort(q.Get("sort")), Origin: network.Host(q.Get("origin")), Uploader: q.Get("uploader"), Tag: q.Get("tag"), Cursor: q.Get("cursor"), Limit: limit,
		})
		answer(w, v, err)
	case "GET " + api.DetailsPath(of):
		v, err := m.Details(ctx, of)
		answer(w, v, err)
	case "GET " + api.PathSearch:
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		v, err := m.Search(ctx, api.SearchQuery{Text: q.Get("q"), Cursor: q.Get("cursor"), Limit: limit})
		answer(w, v, err)
	case "GET " + api.PathSuggest:
		v, err := m.Suggest(ctx, r.URL.Query().Get("q"))
		answer(w, v, err)
	case "POST " + api.WatchedPath(viewed):
		answer(w, struct{}{}, m.Watched(ctx, viewed))
	case "PUT " + api.PathProfile:
		answer(w, struct{}{}, m.SetProfile(ctx, read[video.Profile](r)))
	case "GET " + api.VideoPath(id):
		v, err := m.Video(ctx, id)
		answer(w, v, err)
	case "PATCH " + api.VideoPath(id):
		v, err := m.EditVideo(ctx, id, read[api.VideoEdit](r))
		answer(w, v, err)
	case "DELETE " + api.VideoPath(id):
		answer(w, struct{}{}, m.RemoveVideo(ctx, id))
	case "GET " + api.PathFriends:
		v, err := m.Friends(ctx)
		answer(w, v, err)
	case "POST " + api.PathFriends:
		answer(w, struct{}{}, m.JoinPods(ctx, read[api.PodsToJoin](r)))
	case "DELETE " + api.FriendPath(host):
		answer(w, struct{}{}, m.LeavePod(ctx, host))
	case "PUT " + api.BlockPath(host):
		answer(w, struct{}{}, m.BlockPod(ctx, host))
	case "DELETE " + api.BlockPath(host):
		answer(w, struct{}{}, m.UnblockPod(ctx, host))
	default:
		answer(w, nil, fail(api.CodeNotFound, "There is nothing here."))
	}
}

func begin(w http.ResponseWriter, s api.Session, err error) {
	if err == nil {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: s.Token, Path: "/", HttpOnly: true})
	}
	answer(w, s, err)
}

func (c caller) Friends(context.Context) (api.FriendList, error) {
	admin := c.name() != ""
	c.mu.Lock()
	defer c.mu.Unlock()
	list := api.FriendList{Host: fakeHost, Friends: []api.Friend{}}
	if c.fail != nil {
		return list, c.fail
	}
	for _, f := range c.friends {
		if admin {
			list.Friends = append(list.Friends, f)
		} else if f.State == network.Friend {
			f.Problem = ""
			list.Friends = append(list.Friends, f)
		}
	}
	return list, nil
}

func (c caller) JoinPods(_ context.Context, in api.PodsToJoin) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joinFail != nil {
		return c.joinFail
	}
	for _, h := range in.Hosts {
		c.friends = slices.DeleteFunc(c.friends, func(f api.Friend) bool { return f.Host == h })
		c.friends = append(c.friends, api.Friend{Host: h, State: network.Asked, Score: network.StartScore, Since: time.Now()})
	}
	return nil
}

func (c caller) become(h network.Host, s network.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.friends {
		if c.friends[i].Host == h {
			c.friends[i].State, c.friends[i].Since = s, time.Now()
			return nil
		}
	}
	return fail(api.CodeNotFound, string(h)+" is no friend.")
}

func (c caller) LeavePod(_ context.Context, h network.Host) error { return c.become(h, network.Left) }

func (c caller) BlockPod(_ context.Context, h network.Host) error {
	return c.become(h, network.Blocked)
}

func (c caller) UnblockPod(_ context.Context, h network.Host) error {
	return c.become(h, network.Left)
}
