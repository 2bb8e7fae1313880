package httpapi

import (
	"context"
	"crypto/sha1"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kinopod/build/leak"
	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/config"
	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

// fasthttp's own goroutines end some seconds after their server, or never.
func TestMain(m *testing.M) {
	os.Exit(leak.Run(
		m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	))
}

// door is a server whose other parts are as small as they can be. What the parts
// do together is tested in podtest.
type door struct {
	*Server
	url   string
	admin string
	video video.Video
	bytes []byte

	tus   http.HandlerFunc
	users map[string]accounts.Actor // by token

	watched []string // who did
}

func (d *door) Authenticate(_ context.Context, token string) (accounts.Actor, error) {
	if who, ok := d.users[token]; ok {
		return who, nil
	}
	return accounts.Actor{}, &api.Error{Code: api.CodeUnauthorized, Message: "Log in first."}
}

func (d *door) Login(_ context.Context, in api.Credentials, _ netip.Addr, _ string) (api.Session, error) {
	return api.Session{Token: "token of " + in.Username, Expires: time.Now().Add(time.Hour)}, nil
}

func (d *door) Register(context.Context, api.Registration, netip.Addr, string) (api.Session, error) {
	return api.Session{}, &api.Error{Code: api.CodeForbidden, Message: "closed"}
}
func (d *door) Logout(context.Context, accounts.Actor) error { return nil }
func (d *door) Me(_ context.Context, who accounts.Actor) (api.User, error) {
	return api.User{Username: who.Username}, nil
}

func (d *door) Profile(context.Context, string) (video.Profile, error) {
	return video.Profile{Name: "Ann"}, nil
}
func (d *door) SetProfile(context.Context, accounts.Actor, video.Profile) error          { return nil }
func (d *door) ChangePassword(context.Context, accounts.Actor, api.PasswordChange) error { return nil }
func (d *door) Sessions(context.Context, accounts.Actor) ([]api.SessionInfo, error) {
	return []api.SessionInfo{}, nil
}
func (d *door) EndSession(context.Context, accounts.Actor, string) error { return nil }
func (d *door) CreateInvite(context.Context, accounts.Actor) (api.Invite, error) {
	return api.Invite{}, nil
}

func (d *door) Get(_ context.Context, id video.ID) (video.Video, error) {
	if id != d.video.ID {
		return video.Video{}, errNoVideo
	}
	return d.video, nil
}

func (d *door) Text(ctx context.Context, id video.ID) (string, error) {
	_, err := d.Get(ctx, id)
	return "all of it", err
}

func (d *door) ByInfoHash(_ context.Context, h magnet.InfoHash) (video.Video, error) {
	return video.Video{}, errNoVideo
}

// Picture and Torrent implement Foreign: there are no other pods.
func (d *door) Picture(context.Context, string) (string, error) { return "", errNoPicture }

func (d *door) Details(context.Context, video.Video) (api.Details, error) {
	return api.Details{}, errNoVideo
}

func (d *door) Access(context.Context, video.Video, bool, bool) (api.Pass, bool) {
	return api.Pass{}, false
}

func (d *door) Torrent(context.Context, video.Video) (*torrent.Torrent, error) {
	return nil, errNoVideo
}

func (d *door) Newest(context.Context, api.VideosQuery) ([]video.Video, string, error) {
	return []video.Video{d.video}, "", nil
}

func (d *door) Watched(_ context.Context, viewer string, id video.ID) error {
	d.watched = append(d.watched, viewer)
	return nil
}

func (d *door) Trending(context.Context, api.VideosQuery) ([]video.Video, string, error) {
	return []video.Video{d.video, d.video}, "", nil
}

func (d *door) Search(_ context.Context, q api.SearchQuery) (catalog.Found, error) {
	if q.Cursor == "bad" {
		return catalog.Found{}, &api.Error{Code: api.CodeInvalid, Message: "not a cursor"}
	}
	return catalog.Found{Videos: []video.Video{d.video}, Cut: true, Share: 0.5}, nil
}

func (d *door) Suggest(_ context.Context, text string) ([]string, []video.Video, error) {
	return []string{text + "m"}, []video.Video{d.video}, nil
}

func (d *door) Edit(_ context.Context, _ catalog.Editor, id video.ID, _ api.VideoEdit) (video.Video, error) {
	return d.Get(context.Background(), id)
}

// files are one real file.
type files struct {
	torrent *torrent.Torrent
	path    string
}

func (f files) Open(h magnet.InfoHash) (*torrent.Torrent, string, error) {
	if h != f.torrent.InfoHash {
		return nil, "", errNoVideo
	}
	return f.torrent, f.path, nil
}

func (f files) ThumbnailPath(string) string { return "" }

const filmSize = 5<<20 + 12345

// newDoor serves a film of filmSize bytes until the test ends.
func newDoor(t testing.TB, change func(*config.Config)) *door {
	d := &door{bytes: make([]byte, filmSize), users: map[string]accounts.Actor{"good": {Username: "ann", Role: api.RoleUser}}}
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(d.bytes)
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, d.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	var hashes []byte
	length := torrent.PieceLengthFor(filmSize)
	h := torrent.NewHasher(length, func(sum [sha1.Size]byte) { hashes = append(hashes, sum[:]...) })
	_, _ = h.Write(d.bytes)
	h.Close()
	film, err := torrent.Build("A film.mp4", filmSize, length, hashes, "test")
	if err != nil {
		t.Fatal(err)
	}
	d.video = video.Video{
		ID: video.NewID("pod.example"), Origin: "pod.example", Name: "A film", Created: time.Now(),
		Renditions: []video.Rendition{{InfoHash: film.InfoHash, Size: filmSize, MIME: video.MP4, FileName: film.Name}},
	}
	cfg := config.Config{Name: "Test", Registration: "closed", Host: "pod.example", AllowHTTP: true}
	if change != nil {
		change(&cfg)
	}
	d.Server, err = New(Config{Config: cfg, Host: "pod.example", Version: "1", Log: testLog(t)}, Parts{
		Accounts: d, Catalog: d, Views: d, Foreign: d, Files: files{film, path},
		Uploads: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.tus(w, r) }),
		Ready:   func(context.Context) error { return nil },
		Pages: func(methods func(*http.Request) api.Methods) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				me, _ := methods(r).Me(r.Context())
				w.Header().Add("Vary", "Cookie")
				_, _ = io.WriteString(w, "<!doctype html><title>"+me.Username+"</title>")
			}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.url, d.admin = d.run(t)
	return d
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func (d *door) run(t testing.TB) (url, admin string) {
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	private, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, public, private) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "http://" + public.Addr().String(), "http://" + private.Addr().String()
}

// ask sends one request with headers "Key: value" and reads the answer.
func (d *door) ask(t testing.TB, method, path, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, d.url+path, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		key, value, _ := strings.Cut(h, ": ")
		req.Header.Set(key, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return res, b
}

func TestRetryAfter(t *testing.T) {
	limited := &api.Error{Code: api.CodeRateLimited, Message: "Too many attempts.", Cause: &accounts.Limited{After: 42 * time.Second}}
	for want, err := range map[int]error{42: limited, 1: &api.Error{Code: api.CodeUnavailable, Message: "Busy."}} {
		if got := retryAfter(err); got != want {
			t.Errorf("%v: after %d s, want %d", err, got, want)
		}
	}
}
