// Package page is the screens of the web app and the frame around them. The pod
// renders them with what its own handlers answer, so that a link opens with content;
// the browser runs the same components and asks over HTTP.
//
// # How a visit goes
//
// The pod makes a Frame for the address (New), lets its screen ask for what it shows
// (Preload), and writes both the tree and what was asked for (Handover) into the
// document. In the browser Run starts the Frame from that data, so that the first
// tree it mounts is the tree that is there already. From then on the Frame changes
// screens without the pod's documents.
//
// # Rules of go-app that shape the code
//
// Handlers run on the UI goroutine and must not block: load and send do the asking
// beside it and come back to it. A handler that closes over something of a list gets
// that thing as its scope, or go-app keeps the old one. Attributes that change with
// data are never "style": the content security policy forbids those.
package page

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/upload"
)

// Env is what the screens of one visit share: whom they ask, and what is known of
// the pod and of the viewer.
type Env struct {
	API api.Methods
	Pod api.Pod
	Me  *api.User // nil while nobody is logged in

	frame *Frame                 // nil until there is one
	known map[video.ID]api.Video // of lists, so that a video's page opens at once
	feeds feeds                  // of lists that were left, so that "back" finds them
	back  bool                   // the address changed by the browser's history
	queue *upload.Queue          // of files that go up, whichever screen is shown; nil before the first visit of /upload
}

// say shows a short message at the edge of the screen, and reads it to screen readers.
func (e *Env) say(text string) {
	if e.frame != nil {
		e.frame.say(text)
	}
}

// setMe is called when somebody logged in (or out, with nil).
func (e *Env) setMe(u *api.User) {
	e.Me = u
	e.feeds, e.known = nil, nil // they say which videos are mine
	if e.frame != nil {
		e.frame.Update()
	}
}

// username is the viewer's name, "" while nobody is logged in.
func (e *Env) username() string {
	if e.Me == nil {
		return ""
	}
	return e.Me.Username
}

// check looks at the failure of something that needs a session: where the session has
// ended the viewer is asked to log in.
func (e *Env) check(err *api.Error) {
	if err != nil && err.Code == api.CodeUnauthorized {
		e.setMe(nil)
		e.frame.setHead()
	}
}

// see remembers what a list brought.
func (e *Env) see(videos []api.Video) {
	if e.known == nil || len(e.known) > maxKnown {
		e.known = map[video.ID]api.Video{}
	}
	for _, v := range videos {
		e.known[v.ID] = v
	}
}

// forget takes a video out of what is remembered: it was changed or removed.
func (e *Env) forget(id video.ID) {
	delete(e.known, id)
	e.feeds = nil
}

// maxKnown bounds what see keeps.
const maxKnown = 2000

// component is a go-app component that asks the pod. Answers are dispatched with its
// own context: that of an event belongs to an element, and what is dispatched with it is
// dropped when a later tree has no such element.
type component struct {
	app.Compo

	ctx app.Context // nil until mounted
}

// OnMount implements app.Mounter.
func (c *component) OnMount(ctx app.Context) { c.ctx = ctx }

// screen is what fills the frame: one page of the app.
type screen interface {
	app.Composer
	// open sets the address that the screen shows. It is called before the screen is
	// mounted, and again while it is mounted when only the address changed.
	open(u *url.URL)
	// preload asks the pod for what the screen shows and blocks; the pod calls it
	// before it renders.
	preload(ctx context.Context)
	// content is what preload asked for: a pointer that encoding/json can write at the
	// pod and read in the browser; nil if the screen begins empty.
	content() any
	// head is what the document says of the screen.
	head() Head
}

// Head is what a document says of its screen besides the tree.
type Head struct {
	Title       string // without the name of the pod
	Description string
	Image       string     // address of a picture, "" for the app's own
	Kind        string     // of Open Graph: "website", "video.other"
	Status      int        // of HTTP; 0 is 200
	Redirect    string     // address to go to instead
	Canonical   string     // path of the page whatever its query, "" if it should not be indexed
	Feed        string     // query of the feed of what is listed, "?tag=x" or "?"; "" for none
	Video       *api.Video // that the page is of; nil for none
}

// FeedPath is where the feed of what is listed is, as "atom" or "rss".
func (h Head) FeedPath(kind string) string {
	return api.PathFeeds + "/" + kind + strings.TrimSuffix(h.Feed, "?")
}

// content is what a screen asked the pod for.
type content[T any] struct {
	Value T          `json:"value"`
	Err   *api.Error `json:"error,omitempty"` // of the last time it was asked for
	Done  bool       `json:"done"`            // Value stands

	serial int // of the last load that began
}

func (c *content[T]) set(v T, err error) {
	if err != nil {
		c.Err = api.AsError(err)
		return
	}
	c.Value, c.Err, c.Done = v, nil, true
}

// status is the HTTP status that goes with the content.
func (c *content[T]) status() int {
	if c.Err != nil && !c.Done {
		return c.Err.Status()
	}
	return 200
}

// load asks for c beside the page, and shows it in the component of ctx when it is
// there, unless a later load of c has begun. then may be nil.
func load[T any](ctx app.Context, c *content[T], get func(context.Context) (T, error), then func()) {
	c.Err = nil
	c.serial++
	serial := c.serial
	send(ctx, get, func(v T, err error) {
		if c.serial != serial {
			return
		}
		c.set(v, err)
		if then != nil {
			then()
		}
	})
}

// send asks something of the pod beside the page; done gets the answer on the UI
// goroutine, unless the component of ctx is gone by then.
func send[T any](ctx app.Context, ask func(context.Context) (T, error), done func(T, error)) {
	ctx.Async(func() {
		v, err := ask(ctx)
		ctx.Dispatch(func(app.Context) { done(v, err) })
	})
}

// do is send for what answers nothing.
func do(ctx app.Context, ask func(context.Context) error, done func(error)) {
	send(ctx, func(c context.Context) (struct{}, error) { return struct{}{}, ask(c) }, func(_ struct{}, err error) { done(err) })
}

// handover is what the pod gives to the browser inside the document.
type handover struct {
	Path    string          `json:"path"` // with the query
	Pod     api.Pod         `json:"pod"`
	Me      *api.User       `json:"me,omitempty"`
	Known   bool            `json:"known"` // Pod and Me were asked for
	Content json.RawMessage `json:"content,omitempty"`
}

// HandoverID is the id of the element that holds the Handover.
const HandoverID = "kinopod-data"
