package httpapi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
)

const (
	immutable = "public, max-age=31536000, immutable"
	// forMembers is asked for again each time: who was a member may be none any more.
	forMembers = "private, no-cache"

	webp        = "image/webp"
	bittorrent  = "application/x-bittorrent"
	crossOrigin = "Cross-Origin-Resource-Policy"
)

func (s *Server) routeFiles() {
	for path, handle := range map[string]fiber.Handler{
		api.PathStream + "/:infohash/:file": s.stream,
		api.PathTorrents + "/:id.torrent":   s.torrent,
		api.PathThumbnails + "/:hash.webp":  s.thumbnail,
	} {
		s.app.Get(path, anyOrigin, handle)
		s.app.Options(path, anyOrigin, func(c *fiber.Ctx) error { return c.SendStatus(http.StatusNoContent) })
		s.app.All(path, otherMethod("GET, HEAD, OPTIONS"))
	}
	for _, prefix := range []string{api.PathStream, api.PathThumbnails} {
		s.app.Use(prefix, func(*fiber.Ctx) error { return fiber.ErrNotFound })
	}
}

// anyOrigin lets pages of other pods read the answer.
func anyOrigin(c *fiber.Ctx) error {
	c.Set(fiber.HeaderAccessControlAllowOrigin, "*")
	c.Set(fiber.HeaderAccessControlExposeHeaders, "Accept-Ranges, Content-Length, Content-Range, ETag")
	c.Set(crossOrigin, "cross-origin")
	if c.Method() == http.MethodOptions {
		c.Set(fiber.HeaderAccessControlAllowMethods, "GET, HEAD, OPTIONS")
		// Cache-Control: webtorrent.js sends it with each range of a web seed.
		c.Set(fiber.HeaderAccessControlAllowHeaders, "Range, If-Range, If-None-Match, Cache-Control")
		c.Set(fiber.HeaderAccessControlMaxAge, "86400")
	}
	return c.Next()
}

// stream serves the bytes of a rendition: plain playback and web seed (BEP 19).
func (s *Server) stream(c *fiber.Ctx) error {
	if s.streamOff.Load() {
		return &api.Error{Code: api.CodeUnavailable, Message: "This pod does not send videos by HTTP at the moment."}
	}
	h, err := magnet.ParseInfoHash(c.Params("infohash"))
	if err != nil {
		return errNoVideo
	}
	t, path, err := s.parts.Files.Open(h)
	if api.Is(err, api.CodeNotFound) {
		return s.redirect(c, h)
	}
	if err != nil {
		return err
	}
	if name, err := url.PathUnescape(c.Params("file")); err != nil || name != t.Name {
		return errNoVideo
	}
	keep := immutable
	if s.parts.Viewing.Closed() {
		if _, err := s.admit(c, h); err != nil {
			return err
		}
		keep = forMembers
	}
	tag := `"` + h.String() + `"`
	c.Set(fiber.HeaderETag, tag)
	c.Set(fiber.HeaderCacheControl, keep)
	c.Set(fiber.HeaderAcceptRanges, "bytes")
	c.Set(fiber.HeaderContentType, mimeOf(t.Name))
	if c.Get(fiber.HeaderIfNoneMatch) == tag {
		return c.SendStatus(http.StatusNotModified)
	}
	part, kind := span{0, t.Length}, rangeWhole
	if ifRange := c.Get(fiber.HeaderIfRange); c.Method() == http.MethodGet && (ifRange == "" || ifRange == tag) {
		part, kind = parseRange(c.Get(fiber.HeaderRange), t.Length)
	}
	if kind == rangeRefused {
		return refuseRange(c, t.Length)
	}
	if forElement(c) && (kind == rangeOpen || kind == rangeClosed && part.first+part.n == t.Length && namesTheEnd(c)) {
		most := int64(api.HandOver)
		if part.first == 0 {
			most = api.FirstHandOver
		}
		part.n = min(part.n, most)
	}
	if kind != rangeWhole {
		c.Status(http.StatusPartialContent)
		c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes %d-%d/%d", part.first, part.first+part.n-1, t.Length))
	}
	if c.Method() == http.MethodHead {
		c.Response().Header.SetContentLength(int(part.n))
		return nil
	}
	return s.sendPart(c, path, part)
}

// redirect sends a viewer to the origin of a friend's video.
func (s *Server) redirect(c *fiber.Ctx, h magnet.InfoHash) error {
	v, err := s.parts.Catalog.ByInfoHash(s.ctx, h)
	if err != nil {
		return err
	}
	if v.Origin == s.cfg.Host {
		return errNoVideo
	}
	pass, err := s.admitForeign(c, v)
	if err != nil {
		return err
	}
	secure, _ := s.parts.Friends.At(s.ctx, v.Origin)
	for _, r := range v.Renditions {
		if r.InfoHash == h {
			c.Set(fiber.HeaderCacheControl, "no-cache")
			return c.Redirect(api.WithPass(api.Base(v.Origin, secure)+api.StreamPath(h, r.FileName), pass), http.StatusTemporaryRedirect)
		}
	}
	return errNoVideo
}

// forElement says whether a media element asks.
func forElement(c *fiber.Ctx) bool {
	dest := c.Get("Sec-Fetch-Dest")
	return dest == "video" || dest == "audio"
}

// namesTheEnd says whether a range to the end of the file means an open one: Chromium,
// which alone sends Sec-CH-UA, names the end once it knows the length from an earlier
// answer. Others may want exactly what they named.
func namesTheEnd(c *fiber.Ctx) bool { return c.Get("Sec-CH-UA") != "" }

func refuseRange(c *fiber.Ctx, size int64) error {
	c.Set(fiber.HeaderContentRange, "bytes */"+strconv.FormatInt(size, 10))
	c.Set(fiber.HeaderCacheControl, "no-store")
	e := &api.Error{Code: api.CodeInvalid, Message: fmt.Sprintf("The file has %d bytes; this range is not one of it.", size)}
	return writeJSON(c.Status(http.StatusRequestedRangeNotSatisfiable), e)
}

func (s *Server) sendPart(c *fiber.Ctx, path string, part span) (err error) {
	over, ok := s.streams.begin(s.trusted.of(c))
	if !ok {
		return errTooMany
	}
	defer func() {
		if err != nil {
			over()
		}
	}()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // removed a moment ago
		return errNoVideo
	}
	if err != nil {
		return fmt.Errorf("open file to stream: %w", err)
	}
	if _, err := f.Seek(part.first, io.SeekStart); err != nil {
		return errors.Join(fmt.Errorf("seek in file to stream: %w", err), f.Close())
	}
	c.Context().SetBodyStream(&fileBody{file: f, left: part.n, sent: s.metrics.streamed, over: over}, int(part.n))
	return nil
}

// torrent serves the .torrent of a video's first rendition.
func (s *Server) torrent(c *fiber.Ctx) error {
	id, err := video.ParseID(c.Params("id"))
	if err != nil {
		return errNoVideo
	}
	v, err := s.parts.Catalog.Get(s.ctx, id)
	if err != nil {
		return err
	}
	if len(v.Renditions) == 0 {
		return errNoVideo
	}
	var pass api.Pass
	if v.Origin == s.cfg.Host {
		pass, err = s.admit(c, v.Renditions[0].InfoHash)
	} else {
		pass, err = s.admitForeign(c, v)
	}
	if err != nil {
		return err
	}
	t, secure, err := s.torrentOf(v)
	if err != nil {
		return err
	}
	b, err := t.Metainfo(
		api.Trackers(v.Origin, secure, pass),
		[]string{api.WithPass(api.Base(v.Origin, secure)+api.StreamPath(t.InfoHash, t.Name), pass)},
	)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, bittorrent)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	c.Set(fiber.HeaderContentDisposition, attachment(t.Name+".torrent"))
	return c.Send(b)
}

// torrentOf gives the torrent of a video, and whether its origin is reached by https.
func (s *Server) torrentOf(v video.Video) (t *torrent.Torrent, secure bool, err error) {
	if v.Origin != s.cfg.Host {
		secure, _ = s.parts.Friends.At(s.ctx, v.Origin)
		t, err = s.parts.Foreign.Torrent(s.ctx, v)
		return t, secure, err
	}
	t, _, err = s.parts.Files.Open(v.Renditions[0].InfoHash)
	return t, s.cfg.Secure(), err
}

func (s *Server) thumbnail(c *fiber.Ctx) (err error) {
	hash := c.Params("hash")
	path := s.parts.Files.ThumbnailPath(hash)
	if path == "" && len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == "" {
		if path, err = s.parts.Foreign.Picture(s.ctx, hash); err != nil {
			return errNoPicture
		}
	}
	if path == "" {
		return errNoPicture
	}
	b, err := os.ReadFile(path) // at most api.MaxThumbnail
	if errors.Is(err, fs.ErrNotExist) {
		return errNoPicture
	}
	if err != nil {
		return fmt.Errorf("read thumbnail: %w", err)
	}
	tag := `"` + hash + `"`
	c.Set(fiber.HeaderETag, tag)
	c.Set(fiber.HeaderCacheControl, immutable)
	c.Set(fiber.HeaderContentType, webp)
	if c.Get(fiber.HeaderIfNoneMatch) == tag {
		return c.SendStatus(http.StatusNotModified)
	}
	return c.Send(b)
}

var errNoPicture = &api.Error{Code: api.CodeNotFound, Message: "There is no such picture."}

// mimeOf is the type of a rendition by its file name, which video.FileName made.
func mimeOf(name string) string {
	if strings.HasSuffix(name, ".webm") {
		return video.WebM
	}
	return video.MP4
}

// attachment names what is to be saved (RFC 6266).
func attachment(name string) string {
	return "attachment; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
