package player

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"syscall/js"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/torrent"
	"kinopod/shared/video"
	"kinopod/webapp/piecestore"
	"kinopod/webapp/sharing"
	"kinopod/webapp/swarm"
)

// player is the element and what plays in it. Its state is owned by the page's one
// thread; goroutines of a browser do not run side by side.
type player struct {
	element  js.Value
	pod      api.Pod  // the page's; its zero value until it is known
	parking  js.Value // where the element waits between pages
	showing  *showing
	ignore   js.Func // of a refusal to play: the viewer has the controls
	watchers map[int]func(swarm.Stats)
	reported time.Time      // to watchers, at last; zero where one waits
	watched  func(video.ID) // nil for nobody
	serial   int
}

// showing is one video while it is shown.
type showing struct {
	video   api.Video
	cancel  context.CancelFunc
	engine  *swarm.Engine // nil until the torrent is here
	stream  *stream
	beside  bool // another tab has the engine
	retries int
	counted bool // it was watched for long enough to say so
	begun   bool // it played, or was begun by begin
}

var one = sync.OnceValue(func() *player {
	doc := js.Global().Get("document")
	p := &player{watchers: map[int]func(swarm.Stats){}, ignore: js.FuncOf(func(js.Value, []js.Value) any { return nil })}
	p.parking = doc.Call("createElement", "div")
	p.parking.Set("hidden", true)
	doc.Get("body").Call("appendChild", p.parking)
	p.element = doc.Call("getElementById", ElementID)
	if p.element.IsNull() {
		p.element = doc.Call("createElement", "video")
		p.element.Set("id", ElementID)
		p.element.Set("controls", true)
		p.element.Set("autoplay", true)
		p.element.Set("preload", "auto")
		p.element.Call("setAttribute", "playsinline", "")
		p.element.Set("crossOrigin", "anonymous")
	}
	p.parking.Call("appendChild", p.element)
	p.listen()
	return p
})

// Adopt takes the element out of the page that the pod rendered. Call it before
// go-app starts.
func Adopt() { one() }

// Show makes v the video that plays. It does nothing where v plays already.
func Show(v api.Video) { one().show(v) }

// SetPod says which pod the page is of.
func SetPod(p api.Pod) { one().pod = p }

// OnWatched has f called once a video is shown and some seconds of it were played.
func OnWatched(f func(video.ID)) { one().watched = f }

// Place moves the element into the element with this id.
func Place(id string) {
	p := one()
	place := js.Global().Get("document").Call("getElementById", id)
	if !place.IsNull() && !place.Equal(p.element.Get("parentNode")) {
		place.Call("appendChild", p.element)
	}
}

// Seek plays from a place in the film, 0..1.
func Seek(to float64) {
	p := one()
	if d := p.element.Get("duration").Float(); d > 0 {
		p.element.Set("currentTime", to*d)
	}
}

// Leave ends what Show began; the browser stops to seed.
func Leave() {
	p := one()
	p.element.Call("pause")
	p.parking.Call("appendChild", p.element)
	p.end()
	p.element.Call("removeAttribute", "src")
	p.element.Call("removeAttribute", "poster")
	p.element.Call("load")
}

// Watch calls f once a second while a video is shown, the first time soon, until stop is
// called. Numbers that change more often cannot be read, and each frame beside the film's own
// costs a device as much as fetching the film.
func Watch(f func(swarm.Stats)) (stop func()) {
	p := one()
	p.serial++
	n := p.serial
	p.watchers[n], p.reported = f, time.Time{}
	return func() { delete(p.watchers, n) }
}

// path is the path of an address of a pod: what is shown comes through the viewer's
// own pod.
func path(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	return address
}

func (p *player) show(v api.Video) {
	if p.showing != nil && p.showing.video.ID == v.ID || len(v.Renditions) == 0 {
		return
	}
	p.end()
	src := path(v.StreamURL)
	if path(p.element.Get("src").String()) != src {
		if v.ThumbnailURL != "" {
			p.element.Set("poster", path(v.ThumbnailURL))
		}
		p.element.Set("src", src)
	}
	p.element.Call("setAttribute", "aria-label", v.Name)
	ctx, cancel := context.WithCancel(context.Background())
	p.showing = &showing{video: v, cancel: cancel}
	go p.run(ctx, p.showing)
}

// end stops the engine of what is shown.
func (p *player) end() {
	if p.showing == nil {
		return
	}
	p.showing.cancel()
	p.showing = nil
}

// run waits until no other tab has the video open, fetches the torrent, then takes part
// in its swarm until ctx ends.
func (p *player) run(ctx context.Context, s *showing) {
	infoHash := s.video.Renditions[0].InfoHash
	following, alone := context.WithCancel(ctx)
	defer alone()
	go p.follow(following, s)
	release, err := claim(ctx, infoHash)
	if err != nil {
		return
	}
	defer release()
	alone()
	store := piecestore.NewBrowser(infoHash, piecestore.WorkerPath, storageMost())
	defer store.Closed()
	tor, err := untilMetainfo(ctx, s.video)
	if err != nil {
		store.Close()
		return
	}
	c := config(s.video, tor)
	opened := make(chan struct{})
	c.Store, c.Kept = store, func() []int { defer close(opened); return store.Kept(ctx, tor) }
	s.engine = swarm.New(c)
	defer obey(s.engine)()
	done := make(chan struct{})
	go func() { defer close(done); _ = s.engine.Run(ctx) }()
	<-opened // until then the pod is sooner
	s.stream = register(ctx, s.engine, s.video.Renditions[0], func() { p.tell(s) })
	if p.failed() {
		p.again(s)
	}
	p.report(ctx, s)
	s.stream.release()
	<-done
}

// storageMost is how many bytes the viewer lets videos take on this device, 0 for what
// suits it.
func storageMost() (n int64) {
	defer func() { _ = recover() }() // a browser that lets sites keep nothing
	n, err := strconv.ParseInt(js.Global().Get("localStorage").Call("getItem", "kinopod_storage").String(), 10, 64)
	if err != nil {
		return 0
	}
	return max(0, n)
}

// Times of what the engine and the watchers are told.
const (
	positionEvery = 250 * time.Millisecond
	reportEvery   = time.Second - positionEvery/2 // at one of four positions
)

// report tells the engine where the player is, and the watchers how the swarm is.
func (p *player) report(ctx context.Context, s *showing) {
	p.reported = time.Time{}
	ticker := time.NewTicker(positionEvery)
	defer ticker.Stop()
	others := newTeller(s.engine.InfoHash())
	defer others.Close()
	for {
		p.tell(s)
		if time.Since(p.reported) >= reportEvery {
			p.reported = time.Now()
			stats, err := s.engine.Stats(ctx)
			if err != nil {
				return
			}
			for _, f := range p.watchers {
				f(stats)
			}
			others.tell(stats)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (p *player) tell(s *showing) {
	if s.engine == nil {
		return
	}
	at := p.element.Get("currentTime").Float()
	end, ranges := at, p.element.Get("buffered")
	for i := range ranges.Get("length").Int() {
		if from, to := ranges.Call("start", i).Float(), ranges.Call("end", i).Float(); from <= at+0.1 && at <= to {
			end = to
		}
	}
	p.begin(s, end-at)
	paused := p.element.Get("paused").Bool() || p.element.Get("ended").Bool()
	wants := !paused || p.element.Get("seeking").Bool()
	s.engine.SetPlayback(swarm.Playback{Position: at, Buffered: end, Stalled: wants && p.element.Get("readyState").Int() < haveFutureData})
}

// enoughAhead is how much of a film has to be there until it begins in any case, in seconds.
const enoughAhead = 5

// begin plays a film that the browser does not begin by itself: on a line that was slow at
// first it waits for more than the engine brings before anything is played.
func (p *player) begin(s *showing, ahead float64) {
	if s.begun {
		return
	}
	if p.element.Get("played").Get("length").Int() > 0 || !p.element.Get("paused").Bool() {
		s.begun = true
		return
	}
	visible := js.Global().Get("document").Get("visibilityState").String() == "visible"
	if visible && ahead >= enoughAhead && p.element.Get("autoplay").Bool() && p.element.Get("readyState").Int() >= haveFutureData {
		s.begun = true
		p.element.Call("play").Call("catch", p.ignore)
	}
}

// haveFutureData is HTMLMediaElement.HAVE_FUTURE_DATA.
const haveFutureData = 3

// listen follows the element: a seek or a stall is told at once, and a failure of plain HTTP is
// mended by the engine.
func (p *player) listen() {
	on := func(event string, f func(s *showing)) {
		p.element.Call("addEventListener", event, js.FuncOf(func(js.Value, []js.Value) any {
			if p.showing != nil {
				f(p.showing)
			}
			return nil
		}))
	}
	on("seeking", p.tell)
	on("waiting", p.tell)
	on("playing", func(s *showing) {
		s.retries = 0
		p.tell(s)
	})
	on("timeupdate", p.count)
	js.Global().Call("addEventListener", "online", js.FuncOf(func(js.Value, []js.Value) any {
		p.online()
		return nil
	}))
	// From one network to the other a phone is not offline. Not all browsers tell.
	if line := js.Global().Get("navigator").Get("connection"); line.Truthy() {
		was := line.Get("type")
		line.Call("addEventListener", "change", js.FuncOf(func(js.Value, []js.Value) any {
			if now := line.Get("type"); !now.Equal(was) {
				was = now
				p.online()
			}
			return nil
		}))
	}
	on("error", func(s *showing) {
		if s.engine != nil || s.beside {
			p.again(s)
		}
	})
}

// watchedAfter is how much of a film has to be played until it was watched, in seconds;
// of a short one it is half.
const watchedAfter = 10

// count says that a film is watched, once enough of it was really played: to seek is not
// to watch.
func (p *player) count(s *showing) {
	if s.counted || p.watched == nil {
		return
	}
	need := float64(watchedAfter)
	if d := p.element.Get("duration").Float(); d > 0 {
		need = min(need, d/2)
	}
	played, sum := p.element.Get("played"), 0.0
	for i := range played.Get("length").Int() {
		sum += played.Call("end", i).Float() - played.Call("start", i).Float()
	}
	if sum >= need {
		s.counted = true
		p.watched(s.video.ID)
	}
}

// online goes on at once when the network is back.
func (p *player) online() {
	s := p.showing
	if s == nil {
		return
	}
	s.retries = 0
	if s.engine != nil {
		s.engine.Resume()
	}
	if p.failed() {
		p.again(s)
	}
}

func (p *player) failed() bool { return p.element.Get("error").Truthy() }

// maxRetries bounds how often a film that fails is begun again.
const maxRetries = 6

// again loads the same address once more, from where it was.
func (p *player) again(s *showing) {
	if s.retries++; s.retries > maxRetries {
		return
	}
	at := p.element.Get("currentTime").Float()
	time.AfterFunc(time.Duration(s.retries-1)*time.Second, func() {
		if p.showing != s || !p.failed() {
			return
		}
		p.element.Call("load")
		if at > 0 {
			p.element.Set("currentTime", at)
		}
		p.element.Call("play").Call("catch", p.ignore)
	})
}

// untilMetainfo fetches the .torrent of v, again and again until ctx ends.
func untilMetainfo(ctx context.Context, v api.Video) (*torrent.Torrent, error) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		tor, err := metainfo(ctx, v)
		if err == nil {
			return tor, nil
		}
		slog.Warn("fetch torrent", "video", v.ID, "err", err)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// metainfo fetches the .torrent of v.
func metainfo(ctx context.Context, v api.Video) (*torrent.Torrent, error) {
	b, err := api.Fetch(ctx, origin()+path(v.TorrentURL), torrent.MaxMetainfo)
	if err != nil {
		return nil, err
	}
	t, err := torrent.Parse(b)
	if err != nil {
		return nil, err
	}
	if t.InfoHash != v.Renditions[0].InfoHash {
		return nil, errors.New("the torrent has another info hash")
	}
	return t, nil
}

func origin() string { return js.Global().Get("location").Get("origin").String() }

// config is how an engine reaches the swarm of v; its Store is for the caller to set.
func config(v api.Video, t *torrent.Torrent) swarm.Config {
	pod := one().pod
	home := origin()
	_, query, _ := strings.Cut(v.StreamURL, "?")
	pass := api.PassOf(query)
	trackers := []string{api.WithPass(socket(home), pass)}
	if pod.Host != "" && v.Origin != pod.Host {
		// The origin has the film and knows viewers of all pods; where it is away, those
		// of this pod meet here, unless the film is for members only: who comes here is
		// not asked.
		home = strings.TrimSuffix(v.StreamURL, path(v.StreamURL))
		trackers = []string{api.WithPass(socket(home), pass)}
		if !v.Members {
			trackers = append(trackers, socket(origin()))
		}
	}
	return swarm.Config{
		Torrent: t, Duration: time.Duration(v.Duration * float64(time.Second)), Network: swarm.Browser{STUN: pod.STUN},
		Trackers: trackers, OfferURL: api.WithPass(home+api.PathOffer, pass), WebSeed: home + path(v.StreamURL), Latency: firstFrame() / requestsToFrame, Log: slog.Default(),
		Siblings: openSiblings, Terms: sharing.Now().Terms(), LeastViewers: pod.SwarmViewers,
	}
}

// requestsToFrame is about how many times as long as a request the first frame takes: the film's
// index, then its beginning, then decoding.
const requestsToFrame = 4

// firstFrame is how long that took, 0 for not yet.
func firstFrame() time.Duration {
	return time.Duration(js.Global().Get("kinopod").Call("firstFrame").Float() * float64(time.Millisecond))
}

// obey has the engine keep to what the viewer and the device allow, until stop is called.
func obey(e *swarm.Engine) (stop func()) {
	tell := func() { e.SetTerms(sharing.Now().Terms()) }
	stop = sharing.OnChange(tell)
	tell() // it may have changed since the configuration was made
	return stop
}

// socket is the tracker of the pod at base.
func socket(base string) string {
	return "ws" + strings.TrimPrefix(base, "http") + api.PathTrackerSocket
}
