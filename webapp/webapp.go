// Package webapp serves the web app: pages rendered with what the pod's own handlers
// answer, the WebAssembly that takes them over, and the files around it.
package webapp

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kinopod/shared/api"
	"kinopod/webapp/bundle"
	"kinopod/webapp/page"
)

// Options are what Handler needs.
type Options struct {
	// Name is the pod's, for the installed app.
	Name string
	// Base is the pod's own address without a path, for links that other sites read.
	Base string
	// Methods answers for whoever sent the request.
	Methods func(*http.Request) api.Methods
	// Bundle is the built app; nil is the one that is in this program.
	Bundle fs.FS
	Log    *slog.Logger
}

// ContentSecurityPolicy is that of every page: no script or style but in our own files,
// pictures of this pod only. Films, trackers and web seeds may be those of other pods,
// by http too where base is http.
func ContentSecurityPolicy(base string) string {
	web, sockets := "https:", "wss:"
	if !strings.HasPrefix(base, "https:") {
		web, sockets = "https: http:", "wss: ws:"
	}
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; " +
		"media-src 'self' blob: " + web + "; connect-src 'self' " + web + " " + sockets + "; worker-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}

// renderTime bounds the rendering of one page.
const renderTime = 10 * time.Second

// Handler serves the app: its pages, /web/, the manifest and the service worker. What
// is not one of its pages it answers with its own page and 404.
func Handler(o Options) (http.Handler, error) {
	if o.Bundle == nil {
		built, err := bundle.Open()
		if err != nil {
			return nil, err
		}
		o.Bundle = built
	}
	files, err := loadFiles(o)
	if err != nil {
		return nil, err
	}
	return &handler{Options: o, files: files}, nil
}

type handler struct {
	Options
	files *files
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD.", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Security-Policy", ContentSecurityPolicy(h.Base)) // workers have that of their file
	if f, ok := h.files.byPath[r.URL.Path]; ok {
		f.serve(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/web/") {
		http.NotFound(w, r)
		return
	}
	h.servePage(w, r)
}

// servePage renders the page at the request's address.
func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), renderTime)
	defer cancel()
	u := &url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	frame := page.New(&page.Env{API: h.Methods(r)}, u)
	frame.Preload(ctx)
	head := frame.Head()
	w.Header().Set("Vary", "Cookie, Accept-Encoding")
	w.Header().Set("Cache-Control", "private, no-cache")
	if head.Redirect != "" {
		http.Redirect(w, r, head.Redirect, http.StatusSeeOther)
		return
	}
	body, err := h.render(frame, head, u, theme(r))
	if err != nil {
		h.Log.Error("render page", "path", r.URL.Path, "err", err)
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// They are on their way before the document is read, and their connections are free for
	// the film when it is found there.
	w.Header().Set("Link", fmt.Sprintf("<%s>; rel=preload; as=style, <%s>; rel=preload; as=script", h.files.address(pathStyles), h.files.address(pathBoot)))
	send(w, r, max(head.Status, http.StatusOK), body)
}

// render writes the document of a page.
func (h *handler) render(frame *page.Frame, head page.Head, u *url.URL, theme string) ([]byte, error) {
	var tree, out bytes.Buffer
	if err := writeHTML(&tree, frame); err != nil {
		return nil, fmt.Errorf("write tree: %w", err)
	}
	data, err := frame.Handover()
	if err != nil {
		return nil, fmt.Errorf("write handover: %w", err)
	}
	d := document{
		Head: head, FullTitle: page.FullTitle(head, frame.PodName()), Site: frame.PodName(), Theme: theme,
		URL: h.Base + u.RequestURI(), Image: h.Base + head.Image, Files: h.files,
		Tree: template.HTML(tree.String()), // written by writeHTML, which escapes
		Data: template.JS(data),            // json.Marshal escapes <, > and &
		ID:   page.HandoverID,
	}
	if head.Image == "" {
		d.Image, d.Small = h.Base+h.files.address(iconLarge), true
	}
	if head.Canonical != "" {
		d.URL = h.Base + head.Canonical
	}
	if v := head.Video; v != nil {
		d.OEmbed = h.Base + api.PathOEmbed + "?url=" + url.QueryEscape(d.URL)
		if !v.Members {
			d.Embed = h.Base + api.EmbedPath(v.ID)
		}
		d.Seconds = int(v.Duration)
	}
	if err := documentTemplate.Execute(&out, d); err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	return out.Bytes(), nil
}

// themeCookie holds the theme that the viewer chose; static/boot.js sets it.
const themeCookie = "kinopod_theme"

// theme is "dark" or "light" where the viewer chose, else "".
func theme(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err != nil || c.Value != "dark" && c.Value != "light" {
		return ""
	}
	return c.Value
}

// Colours of the browser's own frame around the page: --bg of the two themes.
const (
	colorDark  = "#0c0d10"
	colorLight = "#f7f5f1"
)

// document is what the template of a page takes.
type document struct {
	page.Head
	FullTitle, Site, Theme string
	URL, Image             string
	OEmbed, Embed          string // addresses of a video's; "" for none
	Seconds                int    // of a video
	Small                  bool   // Image is the app's icon, not a picture of the content
	Files                  *files
	Tree                   template.HTML
	Data                   template.JS
	ID                     string
}

// Address gives the address of one of the app's files, with its version.
func (d document) Address(path string) string { return d.Files.address(path) }

// Styles and Boot give the addresses of the files that every page begins with.
func (d document) Styles() string { return d.Files.address(pathStyles) }
func (d document) Boot() string   { return d.Files.address(pathBoot) }

// Dark and Light are colours of the browser's own frame.
func (document) Dark() string  { return colorDark }
func (document) Light() string { return colorLight }

var documentTemplate = template.Must(template.New("document").Parse(`<!DOCTYPE html>
<html lang="en" dir="ltr"{{with .Theme}} data-theme="{{.}}"{{end}}>
<head>
<meta charset="utf-8">
<title>{{.FullTitle}}</title>
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="description" content="{{.Description}}">
<meta name="referrer" content="same-origin">
<meta name="color-scheme" content="{{if .Theme}}{{.Theme}}{{else}}dark light{{end}}">
{{if eq .Theme "dark"}}<meta name="theme-color" content="{{.Dark}}">
{{else if eq .Theme "light"}}<meta name="theme-color" content="{{.Light}}">
{{else}}<meta name="theme-color" content="{{.Dark}}" media="not (prefers-color-scheme: light)">
<meta name="theme-color" content="{{.Light}}" media="(prefers-color-scheme: light)">
{{end}}{{if .Canonical}}<link rel="canonical" href="{{.URL}}">
{{else}}<meta name="robots" content="noindex">
{{end}}<meta property="og:site_name" content="{{.Site}}">
<meta property="og:title" content="{{or .Title .Site}}">
<meta property="og:description" content="{{.Description}}">
<meta property="og:type" content="{{.Kind}}">
<meta property="og:url" content="{{.URL}}">
<meta property="og:image" content="{{.Image}}">
{{if .Video}}<meta property="og:image:alt" content="{{.Title}}">
{{with .Embed}}<meta property="og:video" content="{{.}}">
<meta property="og:video:type" content="text/html">
<meta property="og:video:width" content="640">
<meta property="og:video:height" content="360">
{{end}}{{if .Seconds}}<meta property="video:duration" content="{{.Seconds}}">
{{end}}{{range .Video.Tags}}<meta property="video:tag" content="{{.}}">
{{end}}<link rel="alternate" type="application/json+oembed" href="{{.OEmbed}}" title="{{.Title}}">
{{end}}{{if .Feed}}<link rel="alternate" type="application/atom+xml" href="{{.FeedPath "atom"}}" title="Atom">
<link rel="alternate" type="application/rss+xml" href="{{.FeedPath "rss"}}" title="RSS">
{{end}}<meta name="twitter:card" content="{{if .Small}}summary{{else}}summary_large_image{{end}}">
<link rel="stylesheet" href="{{.Styles}}">
<link rel="icon" href="{{.Address "/web/icons/icon.svg"}}" type="image/svg+xml">
<link rel="icon" href="{{.Address "/web/icons/icon-192.png"}}" type="image/png" sizes="192x192">
<link rel="apple-touch-icon" href="{{.Address "/web/icons/apple-180.png"}}">
<link rel="manifest" href="/manifest.webmanifest">
<script defer src="{{.Boot}}" data-wasm="{{.Address "/web/app.wasm"}}" data-worker="/app-worker.js" data-dark="{{.Dark}}" data-light="{{.Light}}"></script>
</head>
<body>{{.Tree}}<p id="app-failed" class="app-failed" role="alert" hidden>The app stopped. What is on the page still plays; reload to start it again.</p><script type="application/json" id="{{.ID}}">{{.Data}}</script></body>
</html>
`))
