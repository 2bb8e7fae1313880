package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/feed"
	"kinopod/pod/household"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// What other sites and readers of feeds ask for: feeds of lists, what a link to a video
// is to look like elsewhere (oEmbed 1.0), and a page with the film alone for an iframe.
// All of it is for nobody in particular: what members see more of is not there.

func (s *Server) routeShare() {
	for path, handle := range map[string]fiber.Handler{
		api.PathFeeds + "/atom":   s.feed("application/atom+xml", (*feed.Feed).Atom),
		api.PathFeeds + "/rss":    s.feed("application/rss+xml", (*feed.Feed).RSS),
		api.PathOEmbed:            s.oEmbed,
		api.PathEmbed + "/:id":    s.ofVideo(s.embed),
		api.PathTorrents + "/:id": s.ofVideo(toWatch),
	} {
		s.app.Get(path, s.limited, handle)
		s.app.All(path, otherMethod("GET, HEAD"))
	}
}

// limited refuses who asks too often.
func (s *Server) limited(c *fiber.Ctx) error {
	if !s.perAddress.allow(household.Of(s.trusted.of(c)), time.Now()) {
		return errTooMany
	}
	return c.Next()
}

func toWatch(c *fiber.Ctx, id video.ID) error {
	return c.Redirect(api.WatchPath(id), http.StatusMovedPermanently)
}

const (
	// feedFresh is how long a feed is answered from memory, and may be by others.
	feedFresh = time.Minute
	// feedsKept and feedBytes bound that memory. A feed is some 50 KB, and ten times that
	// where somebody wants it to be.
	feedsKept = 200
	feedBytes = 16 << 20
	// feedLength is how many videos a feed has.
	feedLength = 50
)

// feeds are those that were made a moment ago.
type feeds struct {
	mu    sync.Mutex
	made  map[string]madeFeed // guarded by mu
	bytes int                 // of all bodies; guarded by mu
}

type madeFeed struct {
	body  []byte
	tag   string
	until time.Time
}

func (f *feeds) get(key string) (madeFeed, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m, ok := f.made[key]
	return m, ok && time.Now().Before(m.until)
}

func (f *feeds) put(key string, body []byte) madeFeed {
	sum := sha256.Sum256(body)
	m := madeFeed{body, `"` + hex.EncodeToString(sum[:12]) + `"`, time.Now().Add(feedFresh)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes += len(body) - len(f.made[key].body)
	if f.made == nil || len(f.made) >= feedsKept || f.bytes > feedBytes {
		f.made, f.bytes = map[string]madeFeed{}, len(body)
	}
	f.made[key] = m
	return m
}

// feed answers with the list that the query asks for.
func (s *Server) feed(mime string, write func(*feed.Feed) ([]byte, error)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		q, err := videosQuery(c)
		if err != nil {
			return err
		}
		text := c.Query("q")
		shown := url.Values{}
		for key, value := range map[string]string{"sort": string(q.Sort), "origin": string(q.Origin), "uploader": q.Uploader, "tag": q.Tag, "q": text} {
			if value != "" {
				shown.Set(key, value)
			}
		}
		key := c.Path() + "?" + shown.Encode()
		m, ok := s.feeds.get(key)
		if !ok {
			q.Limit, q.Cursor = feedLength, ""
			f, err := s.makeFeed(q, text)
			if err != nil {
				return err
			}
			f.Path = strings.TrimSuffix(key, "?")
			body, err := write(f)
			if err != nil {
				return err
			}
			m = s.feeds.put(key, body)
		}
		c.Set(fiber.HeaderCacheControl, "public, max-age="+strconv.Itoa(int(feedFresh/time.Second)))
		c.Set(fiber.HeaderETag, m.tag)
		c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
		if c.Get(fiber.HeaderIfNoneMatch) == m.tag {
			return c.SendStatus(http.StatusNotModified)
		}
		c.Set(fiber.HeaderContentType, mime+"; charset=utf-8")
		return c.Send(m.body)
	}
}

// makeFeed asks for what a feed has, as nobody.
func (s *Server) makeFeed(q api.VideosQuery, text string) (f *feed.Feed, err error) {
	nobody := s.api.as(Caller{})
	ctx, cancel := context.WithTimeout(s.ctx, bodyTimeout)
	defer cancel()
	name := s.cfg.Name
	f = &feed.Feed{Title: name, Subtitle: "The newest videos of " + name + ".", Base: api.Base(s.cfg.Host, s.cfg.Secure()), Page: "/"}
	if text != "" {
		found, err := nobody.Search(ctx, api.SearchQuery{Text: text, Limit: q.Limit})
		f.Title, f.Subtitle, f.Page, f.Videos = text+" · "+name, "Videos that a search for “"+text+"” finds.", "/search?q="+url.QueryEscape(text), found.Videos
		return f, err
	}
	at := url.Values{}
	switch {
	case q.Uploader != "":
		if q.Origin == "" {
			q.Origin = s.cfg.Host
		}
		f.Title, f.Page = q.Uploader+"@"+string(q.Origin), api.UploaderPath(q.Origin, q.Uploader)
	case q.Tag != "":
		f.Title = "#" + q.Tag
		at.Set("tag", q.Tag)
	case q.Origin != "":
		f.Title = string(q.Origin)
	case q.Sort == api.Trending:
		f.Title = "Trending"
	}
	if f.Title != name {
		f.Title, f.Subtitle = f.Title+" · "+name, "Videos on "+name+": "+f.Title+"."
	}
	if q.Origin != "" && q.Uploader == "" {
		at.Set("origin", string(q.Origin))
	}
	if q.Sort != "" {
		at.Set("sort", string(q.Sort))
	}
	if len(at) > 0 {
		f.Page += "?" + at.Encode()
	}
	page, err := nobody.Videos(ctx, q)
	f.Videos = page.Videos
	return f, err
}

// Sizes of a player in a page of somebody else, where nothing else is known or asked for.
const (
	embedWidth  = 640
	embedHeight = 360
)

// oEmbed is an answer of type "video", or "link" where the film is for members.
type oEmbed struct {
	Version         string `json:"version"`
	Type            string `json:"type"`
	Title           string `json:"title"`
	AuthorName      string `json:"author_name"`
	AuthorURL       string `json:"author_url"`
	ProviderName    string `json:"provider_name"`
	ProviderURL     string `json:"provider_url"`
	CacheAge        int    `json:"cache_age"`
	ThumbnailURL    string `json:"thumbnail_url,omitempty"`
	ThumbnailWidth  int    `json:"thumbnail_width,omitempty"`
	ThumbnailHeight int    `json:"thumbnail_height,omitempty"`
	HTML            string `json:"html,omitempty"`
	Width           int    `json:"width,omitempty"`
	Height          int    `json:"height,omitempty"`
}

// oEmbed says what a link to a page of a video is to look like elsewhere.
func (s *Server) oEmbed(c *fiber.Ctx) error {
	if format := c.Query("format", "json"); format != "json" {
		return fiber.ErrNotImplemented
	}
	id, ok := s.videoAt(c.Query("url"))
	if !ok {
		return errNoVideo
	}
	v, err := s.api.as(Caller{}).Video(s.ctx, id)
	if err != nil {
		return err
	}
	base := api.Base(s.cfg.Host, s.cfg.Secure())
	width, height := fit(v, bound(c.Query("maxwidth"), embedWidth), bound(c.Query("maxheight"), embedHeight))
	out := oEmbed{
		Version: "1.0", Type: "link", Title: v.Name, AuthorName: v.Uploader, AuthorURL: base + api.UploaderPath(v.Origin, v.Uploader),
		ProviderName: s.cfg.Name, ProviderURL: base + "/", CacheAge: int(time.Hour / time.Second),
	}
	if v.ThumbnailURL != "" {
		out.ThumbnailURL = v.ThumbnailURL
		out.ThumbnailWidth, out.ThumbnailHeight = fit(v, api.ThumbnailWidth, api.ThumbnailHeight)
	}
	if !v.Members {
		out.Type, out.Width, out.Height = "video", width, height
		out.HTML = `<iframe src="` + template.HTMLEscapeString(base+api.EmbedPath(v.ID)) + `" width="` + strconv.Itoa(width) + `" height="` + strconv.Itoa(height) +
			`" title="` + template.HTMLEscapeString(v.Name) + `" frameborder="0" allow="fullscreen; picture-in-picture" allowfullscreen loading="lazy"></iframe>`
	}
	c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
	c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	return writeJSON(c, out)
}

// videoAt is the video whose page has this address at this pod.
func (s *Server) videoAt(address string) (video.ID, bool) {
	u, err := url.Parse(address)
	if err != nil || !strings.EqualFold(u.Host, string(s.cfg.Host)) || u.Scheme != "https" && u.Scheme != "http" {
		return video.ID{}, false
	}
	for _, prefix := range []string{"/watch/", api.PathTorrents + "/", api.PathEmbed + "/"} {
		if rest, ok := strings.CutPrefix(u.Path, prefix); ok {
			id, err := video.ParseID(rest)
			return id, err == nil
		}
	}
	return video.ID{}, false
}

func bound(text string, usual int) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return min(n, 4*usual)
	}
	return usual
}

// fit is the size of a film's picture within a frame.
func fit(v api.Video, width, height int) (w, h int) {
	fw, fh := embedWidth, embedHeight
	if len(v.Renditions) > 0 && v.Renditions[0].Width > 0 && v.Renditions[0].Height > 0 {
		fw, fh = v.Renditions[0].Width, v.Renditions[0].Height
	}
	if w = width; w*fh > height*fw {
		return max(1, height*fw/fh), height
	}
	return w, max(1, w*fh/fw)
}

const embedStyle = `html,body{margin:0;height:100%;background:#000;color:#eceef2;font:15px system-ui,sans-serif}` +
	`video{width:100%;height:100%;object-fit:contain}` +
	`a{position:absolute;inset:0 0 auto;padding:10px 14px 26px;overflow:hidden;color:#fff;font-weight:600;text-decoration:none;text-overflow:ellipsis;white-space:nowrap;background:linear-gradient(rgb(0 0 0/64%),transparent)}` +
	`a:hover{text-decoration:underline}p{display:grid;place-items:center;height:100%;margin:0;text-align:center}`

var embedPage = template.Must(template.New("embed").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Name}}</title><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><link rel="canonical" href="{{.Watch}}"><style>` + embedStyle + `</style></head>
<body>{{if .Stream}}<video src="{{.Stream}}"{{with .Poster}} poster="{{.}}"{{end}} controls playsinline preload="none" aria-label="{{.Name}}"></video>{{else}}<p>This video is for members.</p>{{end}}<a href="{{.Watch}}" target="_blank" rel="noopener" dir="auto">{{.Name}}</a></body></html>
`))

// embedPolicy lets every page show this one, which runs nothing.
var embedPolicy = func() string {
	sum := sha256.Sum256([]byte(embedStyle))
	return "default-src 'none'; img-src 'self'; media-src 'self' https: http:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors *"
}()

// embed is a page with the film alone.
func (s *Server) embed(c *fiber.Ctx, id video.ID) error {
	v, err := s.api.as(Caller{}).Video(s.ctx, id)
	if err != nil {
		return err
	}
	page := struct{ Name, Watch, Stream, Poster string }{Name: v.Name, Watch: api.Base(s.cfg.Host, s.cfg.Secure()) + api.WatchPath(id)}
	if !v.Members && len(v.Renditions) > 0 {
		page.Stream = api.StreamPath(v.Renditions[0].InfoHash, v.Renditions[0].FileName)
	}
	if u, err := url.Parse(v.ThumbnailURL); err == nil {
		page.Poster = u.Path
	}
	var b bytes.Buffer
	if err := embedPage.Execute(&b, page); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentSecurityPolicy, embedPolicy)
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	c.Set(fiber.HeaderCacheControl, "public, max-age=300")
	return c.Send(b.Bytes())
}
