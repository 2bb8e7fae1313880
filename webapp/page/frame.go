package page

import (
	"context"
	"encoding/json"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/maxence-charriere/go-app/v9/pkg/app"

	"kinopod/shared/api"
	"kinopod/shared/video"
	"kinopod/webapp/player"
)

// Frame is the whole page: header, one screen, footer. There is one a visit; it
// changes its screen as the address changes.
type Frame struct {
	component

	env     *Env
	url     *url.URL
	screen  screen
	known   bool       // who the viewer is and what the pod is has been asked for
	asking  bool       // it is being asked for
	unmet   *api.Error // why it is not known, once the pod could not be reached
	asked   int        // counts the times, so that only the last one's failure asks again
	sending sending
	message string
	said    int  // counts messages, so that an old one's end does not end a new one
	offline bool // the browser says that there is no network
	stale   bool // a newer version of the app is ready
	mini    mini
	search  searchBox
	scrolls map[string]float64 // where addresses were left
}

// New makes the frame for an address.
func New(e *Env, u *url.URL) *Frame {
	f := &Frame{env: e}
	f.show(u)
	return f
}

// Run shows the app in the browser and does not return.
func Run(m api.Methods) {
	e := &Env{API: m}
	keepTyped()
	player.OnWatched(func(id video.ID) {
		go func() { _ = m.Watched(context.Background(), id) }() // one view more or less
	})
	// The frame follows the address itself, so go-app needs to know one path only: its
	// routes for patterns would bring the compiler of regular expressions with them.
	app.RouteFunc(app.Window().URL().Path, func() app.Composer { return &Frame{env: e} })
	app.RunWhenOnBrowser()
}

func (f *Frame) show(u *url.URL) {
	f.url, f.env.frame, f.sending.env, f.search.env = u, f, f.env, f.env
	f.search.at, f.search.text = -1, searched(u)
	f.screen = screenFor(f.env, u)
}

// Preload asks the pod for what the page shows, and blocks. The pod calls it before
// it renders. What could not be had is on the page, and in Head.
func (f *Frame) Preload(ctx context.Context) {
	m, err := f.meet(ctx)
	if err != nil {
		f.screen = &broken{err: api.AsError(err)}
		return
	}
	f.env.Pod, f.env.Me, f.known = m.pod, m.me, true
	if _, ok := f.screen.(*offline); ok {
		f.env.Me, f.known = nil, false // it is kept, and opens for whoever is there then
	}
	f.screen.preload(ctx)
}

// meeting is what the pod is and who the viewer is to it.
type meeting struct {
	pod api.Pod
	me  *api.User // nil if nobody is logged in
}

func (f *Frame) meet(ctx context.Context) (meeting, error) {
	pod, err := f.env.API.Pod(ctx)
	if err != nil {
		return meeting{}, err
	}
	me, err := f.env.API.Me(ctx)
	if api.Is(err, api.CodeUnauthorized) {
		return meeting{pod: pod}, nil
	}
	return meeting{pod, &me}, err
}

// Head is what the document says of the screen.
func (f *Frame) Head() Head { return f.screen.head() }

// Handover is the JSON that the browser's Frame starts from.
func (f *Frame) Handover() ([]byte, error) {
	h := handover{Path: f.url.RequestURI(), Pod: f.env.Pod, Me: f.env.Me, Known: f.known}
	if c := f.screen.content(); c != nil {
		b, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		h.Content = b
	}
	return json.Marshal(h)
}

// OnInit starts from what the document brought.
func (f *Frame) OnInit() {
	u := app.Window().URL()
	var h handover
	if err := json.Unmarshal([]byte(textOf(HandoverID)), &h); err == nil {
		f.env.Pod, f.env.Me, f.known = h.Pod, h.Me, h.Known
		player.SetPod(h.Pod)
	}
	f.show(u)
	if c := f.screen.content(); c != nil && h.Path == u.RequestURI() && h.Content != nil {
		// What cannot be read was written by another version: it is asked for again.
		_ = json.Unmarshal(h.Content, c)
	}
	f.offline = !isOnline()
	if w, ok := f.screen.(*watch); ok && w.video.Done && !locked(w.video.Value) {
		// The swarm before the page: while it is met, there is time to build the page.
		player.Show(w.video.Value)
		runtime.Gosched()
	}
}

// OnMount is called once, when the app has taken over from the document.
func (f *Frame) OnMount(ctx app.Context) {
	f.ctx = ctx
	if _, ok := f.screen.(*offline); !ok && !f.known {
		f.learn()
	}
	f.scrolls = map[string]float64{}
	restoreTyped()
	manageScrolling()
	onAddress(ctx, f.follow)
	f.setHead() // it may lead to another address
	for event, offline := range map[string]bool{"online": false, "offline": true} {
		app.Window().AddEventListener(event, func(app.Context, app.Event) {
			f.offline = offline
			switch {
			case offline:
			case f.known:
				f.again()
			default:
				f.learn()
			}
			f.Update()
		})
	}
	mounted()
}

// learn asks what the pod is and who the viewer is: the shell that the service worker
// keeps does not know. It asks now and then until there is an answer.
func (f *Frame) learn() {
	if f.asking {
		return
	}
	f.asking = true
	f.asked++
	asked := f.asked
	send(f.ctx, f.meet, func(m meeting, err error) {
		f.asking = false
		if err != nil {
			f.unmet = api.AsError(err)
			f.screen.Update()
			f.learnLater(asked)
			return
		}
		f.env.Pod, f.known, f.unmet = m.pod, true, nil
		player.SetPod(m.pod)
		f.env.setMe(m.me)
		f.setHead()
		f.again()
		f.screen.Update()
	})
}

// learnEvery is the time between two attempts; a page that nobody sees waits on.
const learnEvery = 4 * time.Second

func (f *Frame) learnLater(asked int) {
	f.ctx.After(learnEvery, func(app.Context) {
		switch {
		case f.known || f.asked != asked:
		case isVisible():
			f.learn()
		default:
			f.learnLater(asked)
		}
	})
}

// again has the screen ask for what it could not have while the pod was away.
func (f *Frame) again() {
	if s, ok := f.screen.(interface{ again() }); ok {
		s.again()
	}
}

// stranger is what a screen that needs to know the viewer shows until then.
func (f *Frame) stranger(text string, n int) app.UI {
	if f.unmet != nil {
		return elem("div").Class("page").Body(failure(f.unmet, func() {
			f.unmet = nil
			f.learn()
		}))
	}
	return elem("div").Class("page").Body(elem("p").Class("off-screen").Role("status").Text(text), skeletons(n))
}

// follow changes the screen when the address has changed.
func (f *Frame) follow() {
	u, back := app.Window().URL(), wentBack()
	f.env.back = back
	if u.RequestURI() == f.url.RequestURI() {
		return // another place in the same page
	}
	f.scrolls[f.url.RequestURI()] = scrollTop()
	next := screenFor(f.env, u)
	f.url = u
	if text := searched(u); text != "" || f.search.text != "" {
		f.search.show(text)
	}
	f.mini.leave(f.screen, next)
	if reflect.TypeOf(f.screen) == reflect.TypeOf(next) {
		f.screen.open(u) // go-app would keep the mounted one: it has the same type
		f.screen.Update()
	} else {
		f.screen = next
	}
	f.setHead()
	if !f.known {
		f.learn()
	}
	f.sending.moved()
	f.ctx.Defer(func(app.Context) {
		f.mini.place()
		if back {
			scrollTo(f.scrolls[u.RequestURI()])
			return
		}
		scrollTo(0)
		if u.Fragment == "" {
			focus("main")
		}
	})
}

// OnAppUpdate is called when the service worker of a newer version has been installed.
func (f *Frame) OnAppUpdate(ctx app.Context) { f.stale = ctx.AppUpdateAvailable() }

// OnAppInstallChange is called when the browser offers to install the app.
func (f *Frame) OnAppInstallChange(app.Context) {}

// setHead puts what the screen says of itself into the document.
func (f *Frame) setHead() {
	h := f.screen.head()
	if h.Redirect != "" {
		replaceAddress(h.Redirect)
		return
	}
	f.ctx.Page().SetTitle(FullTitle(h, f.env.Pod.Name))
	f.ctx.Page().SetDescription(h.Description)
}

// FullTitle is the title of the document.
func FullTitle(h Head, pod string) string {
	if pod == "" {
		pod = "Kinopod"
	}
	if h.Title == "" {
		return pod
	}
	return h.Title + " · " + pod
}

// say shows a message for some seconds.
func (f *Frame) say(text string) {
	f.message = text
	f.said++
	said := f.said
	f.Update()
	if f.ctx == nil {
		return
	}
	f.ctx.After(messageTime, func(app.Context) {
		if f.said == said {
			f.message = ""
		}
	})
}

// messageTime is how long a message stays.
const messageTime = 6 * time.Second

// Render implements app.Composer.
func (f *Frame) Render() app.UI {
	return elem("div").ID("app").Body(
		elem("a").Class("skip").Attr("href", "#main").Text("Skip to content"),
		f.header(),
		elem("main").ID("main").TabIndex(-1).Aria("label", FullTitle(f.screen.head(), f.PodName())).Body(f.screen),
		f.footer(),
		f.mini.render(f.Update),
		f.notices(),
	)
}

func (f *Frame) header() app.UI {
	return elem("header").Class(pick(f.url.Path == "/search", "top searching", "top")).Body(
		elem("div").Class("top-in").Body(
			elem("a").Class("brand").Attr("href", "/").Body(
				icon(iconLogo),
				elem("span").Class("brand-name").Text(f.PodName()),
			),
			&f.search,
			elem("nav").Class("top-nav").Aria("label", "Main").Body(
				f.searchLink(),
				f.topLink("/network", "Network"),
				elem("span").Class("install").Body(f.installButton()), // a place of its own, see searchLink
				themeButton(),
				&f.sending,
				f.link("/upload", "button small", iconUpload, "Upload"),
				f.account(),
			),
		),
	)
}

// searched is what an address searches for.
func searched(u *url.URL) string {
	if u.Path != "/search" {
		return ""
	}
	return strings.TrimSpace(u.Query().Get("q"))
}

// searchLink leads to the search where there is no room for its field. It is in the tree
// of every page: go-app goes by places, and a component whose place moves up is lost.
func (f *Frame) searchLink() app.UI {
	return elem("a").Class("button quiet icon-only search-link").Attr("href", "/search").Aria("label", "Search").Body(icon(iconSearch))
}

// PodName is what the pod calls itself.
func (f *Frame) PodName() string {
	if f.env.Pod.Name != "" {
		return f.env.Pod.Name
	}
	return "Kinopod"
}

// link is a link of the header; it says when it leads to where the viewer is.
func (f *Frame) link(path, class, picture, text string) app.UI {
	a := elem("a").Class(class).Attr("href", path).Body(icon(picture), elem("span").Class("wide-only").Text(text)).Aria("label", text)
	if f.url.Path == path {
		a = a.Aria("current", "page")
	}
	return a
}

// topLink is a link of the header that small screens have in the footer.
func (f *Frame) topLink(path, text string) app.UI {
	a := elem("a").Class("top-link").Attr("href", path).Text(text)
	if f.url.Path == path {
		a = a.Aria("current", "page")
	}
	return a
}

func (f *Frame) account() app.UI {
	if f.env.Me == nil && !f.known {
		return nil
	}
	if f.env.Me == nil {
		href := "/login"
		if f.url.Path != "/" && f.url.Path != "/login" && f.url.Path != "/offline" {
			href = loginPath(f.url.RequestURI())
		}
		return elem("a").Class("button quiet small").Attr("href", href).Text("Log in")
	}
	a := elem("a").Class("me").Attr("href", "/account").Aria("label", "Your account, "+f.env.Me.Username).Title(f.env.Me.Username).
		Body(avatar(f.env.Me.Username))
	if f.url.Path == "/account" {
		a = a.Aria("current", "page")
	}
	return a
}

func (f *Frame) installButton() app.UI {
	if !isInstallable() {
		return nil
	}
	return elem("button").Attr("type", "button").Class("quiet small").Title("Install Kinopod on this device").
		OnClick(func(ctx app.Context, _ app.Event) { ctx.ShowAppInstallPrompt() }).
		Body(icon(iconInstall), elem("span").Class("wide-only").Text("Install")).Aria("label", "Install")
}

func themeButton() app.UI {
	return elem("button").Attr("type", "button").Class("quiet icon-only theme").Aria("label", "Change between dark and light").Title("Dark or light").
		OnClick(func(app.Context, app.Event) { toggleTheme() }).Body(icon(iconTheme))
}

func (f *Frame) footer() app.UI {
	return elem("footer").Class("foot").Body(
		elem("div").Class("foot-in").Body(
			elem("p").Text("Every viewer is a source. This pod runs Kinopod"+version(f.env.Pod.Version)),
			elem("nav").Class("foot-nav").Aria("label", "More").Body(
				elem("a").Attr("href", "/network").Text("Network"),
				themeButton(),
			),
		),
	)
}

func version(v string) string {
	if v == "" {
		return "."
	}
	return " " + v + "."
}

// notices are what the frame says at the edge of the screen. The live region stays in
// the tree: screen readers follow only one that was there before its text.
func (f *Frame) notices() app.UI {
	return elem("div").Class("notices").Body(
		elem("div").Role("status").Aria("live", "polite").Class("notice-live").Body(
			app.If(f.message != "", elem("p").Class("notice").Text(f.message)),
		),
		app.If(f.offline, elem("p").Class("notice warn").Role("status").Body(icon(iconOffline), elem("span").Text("You are offline."))),
		app.If(f.stale, elem("p").Class("notice").Body(
			elem("span").Text("A new version is ready."),
			elem("button").Attr("type", "button").Class("small").Text("Reload").OnClick(func(ctx app.Context, _ app.Event) { ctx.Reload() }),
		)),
	)
}
