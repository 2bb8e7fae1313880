package inbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/pod/podclient"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

func (w *world) hello(h network.Host) answer {
	w.t.Helper()
	b, _ := json.Marshal(federation.Hello{Host: h})
	return w.post(federation.PathHello, b)
}

func (a answer) code() api.Code {
	var e api.Error
	_ = json.Unmarshal(a.body, &e)
	return e.Code
}

func TestCard(t *testing.T) {
	w, _, _ := fakeWorld(t, known())
	res, err := http.Get(w.url + federation.PathCard)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var card federation.Card
	if err := json.NewDecoder(res.Body).Decode(&card); err != nil {
		t.Fatal(err)
	}
	if card.Host != us || !card.Key.Is(federation.Key{PublicKey: &keys()[us].PublicKey}) || card.Protocol != federation.Speaks || card.Name != "We" || card.Software != "kinopod" || card.Version != "1.2" {
		t.Errorf("%+v", card)
	}
	if card.Key.PublicKey == nil || strings.Contains(fmt.Sprint(res.Header), "Set-Cookie") {
		t.Errorf("%v", res.Header)
	}
}

func TestHello(t *testing.T) {
	all := known()
	all = append(
		all, friends.Friend{Host: "blocked.example", State: network.Blocked}, friends.Friend{Host: "left.example", State: network.Left, ByUs: true},
		friends.Friend{Host: "revoked.example", State: network.Revoked, Until: time.Now().Add(time.Hour)},
		friends.Friend{Host: "back.example", State: network.Revoked, Until: time.Now().Add(-time.Second)},
	)
	w, o, _ := fakeWorld(t, all)
	keyOf := func(h network.Host) string {
		for _, f := range all {
			if f.Host == h && f.State != network.Friend {
				return f.Key
			}
		}
		return jwk(stranger)
	}
	o.meet = func(h network.Host) error {
		_, err := w.list.Meet(t.Context(), h, friends.Card{Key: cmp.Or(keyOf(h), jwk(stranger))}, "1-1")
		return err
	}
	o.look = func(_ context.Context, h network.Host) (friends.Card, error) {
		if h == "down.example" {
			return friends.Card{}, errors.New("dial tcp 192.0.2.1:443: connection refused")
		}
		if h == "old.example" {
			return friends.Card{}, &api.Error{Code: api.CodeConflict, Message: "Another version."}
		}
		return friends.Card{Key: jwk(stranger)}, nil
	}
	for name, c := range map[string]struct {
		body   string
		status int
		calls  []string
	}{
		"somebody new":                {`{"host":"new.example"}`, http.StatusNoContent, []string{"Look new.example", "Meet new.example", "ChangeFriend new.example"}},
		"somebody newer":              {`{"host":"newer.example","and":1}`, http.StatusNoContent, []string{"Look newer.example", "Meet newer.example", "ChangeFriend newer.example"}},
		"upper case":                  {`{"host":"Upper.example"}`, http.StatusNoContent, []string{"Look upper.example", "Meet upper.example", "ChangeFriend upper.example"}},
		"one who left":                {`{"host":"former.example"}`, http.StatusNoContent, []string{"Look former.example", "Meet former.example", "ChangeFriend former.example"}},
		"a friend with another key":   {`{"host":"friend.example"}`, http.StatusConflict, []string{"Look friend.example", "Meet friend.example", "ChangeFriend friend.example"}},
		"one who is revoked":          {`{"host":"revoked.example"}`, http.StatusServiceUnavailable, nil},
		"one who was revoked":         {`{"host":"back.example"}`, http.StatusNoContent, []string{"Look back.example", "Meet back.example", "ChangeFriend back.example"}},
		"one of another version":      {`{"host":"old.example"}`, http.StatusConflict, []string{"Look old.example"}},
		"one who cannot be called":    {`{"host":"down.example"}`, http.StatusServiceUnavailable, []string{"Look down.example"}},
		"one who is blocked":          {`{"host":"blocked.example"}`, http.StatusForbidden, nil},
		"one whom we left":            {`{"host":"left.example"}`, http.StatusForbidden, nil},
		"ourselves":                   {`{"host":"us.example"}`, http.StatusBadRequest, nil},
		"ourselves in upper case":     {`{"host":"US.example"}`, http.StatusBadRequest, nil},
		"no host":                     {`{}`, http.StatusBadRequest, nil},
		"an address":                  {`{"host":"https://new.example/"}`, http.StatusBadRequest, nil},
		"a path":                      {`{"host":"new.example/admin"}`, http.StatusBadRequest, nil},
		"credentials":                 {`{"host":"user@new.example"}`, http.StatusBadRequest, nil},
		"nothing":                     {``, http.StatusBadRequest, nil},
		"garbage":                     {"\x00\xff", http.StatusBadRequest, nil},
		"a list":                      {`[]`, http.StatusBadRequest, nil},
		"a number":                    {`{"host":1}`, http.StatusBadRequest, nil},
		"two":                         {`{"host":"a.example"}{"host":"b.example"}`, http.StatusBadRequest, nil},
		"a host longer than there is": {`{"host":"` + strings.Repeat("a.", 500) + `example"}`, http.StatusBadRequest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.calls.take()
			a := w.post(federation.PathHello, []byte(c.body))
			if a.status != c.status || c.status >= 400 && a.code() == "" {
				t.Errorf("%d %s, want %d", a.status, a.body, c.status)
			}
			if said := w.calls.take(); !slices.Equal(said, c.calls) {
				t.Errorf("it did %q, want %q", said, c.calls)
			}
			if strings.Contains(string(a.body), "192.0.2.1") {
				t.Errorf("it tells of our network: %s", a.body)
			}
		})
	}
	w.t = t
	for range 2 { // twice is once
		if a := w.hello("new.example"); a.status != http.StatusNoContent {
			t.Errorf("once more: %d", a.status)
		}
	}
	if f, _, _ := w.list.Get(t.Context(), "new.example"); f.State != network.Friend || f.Score != network.StartScore {
		t.Errorf("%+v", f)
	}
	if f, _, _ := w.list.Get(t.Context(), friendly); f.Key != jwk(friendly) {
		t.Error("the key of a friend is another by a hello")
	}
}

// TestCallBack: a stranger is whom the pod at its host says it is.
func TestCallBack(t *testing.T) {
	w, o, _ := fakeWorld(t, nil)
	calls := podclient.New(podclient.Config{AllowHTTP: true, Software: "test", Log: quiet})
	t.Cleanup(calls.Close)
	o.look = func(ctx context.Context, h network.Host) (friends.Card, error) {
		card, _, err := calls.Card(ctx, podclient.Target{Host: h})
		return friends.Card{Name: card.Name}, err
	}
	for name, c := range map[string]struct {
		card   func(h network.Host) federation.Card
		status int
	}{
		"itself": {func(h network.Host) federation.Card {
			return federation.Card{Host: h, Key: federation.Key{PublicKey: &keys()[stranger].PublicKey}, Protocol: federation.Speaks}
		}, http.StatusNoContent},
		"somebody else": {func(network.Host) federation.Card {
			return federation.Card{Host: friendly, Key: federation.Key{PublicKey: &keys()[stranger].PublicKey}, Protocol: federation.Speaks}
		}, http.StatusServiceUnavailable},
		"nobody":        {func(network.Host) federation.Card { return federation.Card{} }, http.StatusServiceUnavailable},
		"without a key": {func(h network.Host) federation.Card { return federation.Card{Host: h, Protocol: federation.Speaks} }, http.StatusServiceUnavailable},
	} {
		var host network.Host
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(rw).Encode(c.card(host)) }))
		host = network.Host(strings.TrimPrefix(s.URL, "http://"))
		a := w.hello(host)
		met := slices.Contains(w.calls.take(), "Meet "+string(host))
		if a.status != c.status || met != (c.status == http.StatusNoContent) {
			t.Errorf("%s: %d %s, met %v", name, a.status, a.body, met)
		}
		s.Close()
	}
}

// TestManyHellos: few pods are called back at a time, each by one, and few for one
// address. Who is a friend does not wait behind strangers.
func TestManyHellos(t *testing.T) {
	all := append(known(), friends.Friend{Host: "asked.example", State: network.Asked})
	w, o, _ := fakeWorld(t, all, func(c *Config) { c.From = fromHeader })
	goOn := make(chan struct{})
	var once sync.Once
	let := func() { once.Do(func() { close(goOn) }) }
	t.Cleanup(let)
	var mu sync.Mutex
	inside := 0
	o.look = func(context.Context, network.Host) (friends.Card, error) {
		mu.Lock()
		inside++
		mu.Unlock()
		<-goOn
		return friends.Card{}, nil
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return inside
	}
	codes := make(chan int, 100)
	waiting := 0
	hello := func(h network.Host, from string) {
		waiting++
		go func() { codes <- w.helloFrom(h, from).status }()
	}
	host := func(i int) network.Host { return network.Host(fmt.Sprintf("pod%d.example", i)) }
	hello(host(0), "192.0.2.0")
	eventually(t, "the first is called back", func() bool { return count() == 1 })
	if a := w.helloFrom(host(0), "198.51.100.1"); a.status != http.StatusTooManyRequests || a.code() != api.CodeRateLimited {
		t.Errorf("twice at a time: %d %s", a.status, a.body)
	}
	for i := 1; i < maxHellosAddress; i++ {
		hello(host(i), "192.0.2.0")
	}
	eventually(t, "more are called back", func() bool { return count() == maxHellosAddress })
	if a := w.helloFrom(host(999), "192.0.2.0"); a.status != http.StatusTooManyRequests {
		t.Errorf("one too many for an address: %d", a.status)
	}
	for i := maxHellosAddress; i < maxHellos; i++ {
		hello(host(i), fmt.Sprintf("2001:db8:0:%d::1", i))
	}
	eventually(t, "all are called back", func() bool { return count() == maxHellos })
	for i := range 50 {
		if a := w.helloFrom(host(1000+i), fmt.Sprintf("203.0.113.%d", i)); a.status != http.StatusTooManyRequests {
			t.Errorf("one too many: %d", a.status)
		}
	}
	if count() != maxHellos {
		t.Errorf("%d are called back at a time", count())
	}
	for _, h := range []network.Host{friendly, "asked.example"} {
		hello(h, "192.0.2.0")
	}
	eventually(t, "who is known is called back", func() bool { return count() == maxHellos+2 })
	let()
	for range waiting {
		if code := <-codes; code != http.StatusNoContent {
			t.Errorf("%d", code)
		}
	}
	if a := w.helloFrom(host(2000), "192.0.2.0"); a.status != http.StatusNoContent {
		t.Errorf("then: %d", a.status)
	}
	if h := w.in.hellos; len(h.under)+len(h.addresses)+h.strangers != 0 {
		t.Errorf("left over: %+v", h)
	}
}

// TestNoAmplifier: however many hellos name a pod, from wherever, it is called seldom; and
// however many pods one address names, few are called.
func TestNoAmplifier(t *testing.T) {
	w, o, _ := fakeWorld(t, known(), func(c *Config) { c.From = fromHeader })
	o.look = func(context.Context, network.Host) (friends.Card, error) { return friends.Card{}, errors.New("no") }
	looks := func() int { return len(without(w.calls.take(), "ChangeFriend")) }
	for i := range 100 {
		w.helloFrom("victim.example", fmt.Sprintf("192.0.2.%d", i))
	}
	if n := looks(); n != perHost.burst {
		t.Errorf("the named pod is called %d times", n)
	}
	for i := range 100 {
		w.helloFrom(network.Host(fmt.Sprintf("pod%d.example", i)), fmt.Sprintf("2001:db8::%x", i)) // of one customer
	}
	if n := looks(); n < perAddress.burst || n > perAddress.burst+3 { // some time passes
		t.Errorf("%d pods are called for one address", n)
	}
	for i := range 200 {
		w.helloFrom(network.Host(fmt.Sprintf("more%d.example", i)), fmt.Sprintf("203.0.113.%d", i))
	}
	if n := looks(); n == 0 || n > inAll.burst+10 {
		t.Errorf("%d pods are called in all", n)
	}
	if a := w.helloFrom(friendly, "192.0.2.1"); a.status == http.StatusTooManyRequests {
		t.Error("a friend is shut out by strangers")
	}
	now := time.Now()
	h := newHellos()
	for range perHost.burst {
		if over, ok := h.begin("pod.example", false, netip.MustParseAddr("192.0.2.1"), now); ok {
			over()
		}
	}
	if _, ok := h.begin("pod.example", false, netip.MustParseAddr("192.0.2.1"), now); ok {
		t.Error("one more than the burst")
	}
	if _, ok := h.begin("pod.example", false, netip.MustParseAddr("192.0.2.1"), now.Add(perHost.every)); !ok {
		t.Error("not even after a while")
	}
	for i := range 3 * mostKnown {
		take(h.hosts, network.Host(fmt.Sprint(i)), perHost, now)
	}
	if len(h.hosts) > mostKnown {
		t.Errorf("%d hosts are remembered", len(h.hosts))
	}
}

func fromHeader(c *fiber.Ctx) netip.Addr { return netip.MustParseAddr(c.Get("From-Address")) }

// helloFrom says hello from an address; it may be called by any goroutine.
func (w *world) helloFrom(h network.Host, from string) answer {
	b, _ := json.Marshal(federation.Hello{Host: h})
	a, err := w.try(federation.PathHello, b, "From-Address", from)
	if err != nil {
		w.t.Error(err)
	}
	return a
}

// TestSlowCallBack: who is called back and does not answer holds nobody up for ever.
func TestSlowCallBack(t *testing.T) {
	w, o, _ := fakeWorld(t, nil)
	var left time.Duration
	o.look = func(ctx context.Context, _ network.Host) (friends.Card, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return friends.Card{}, context.DeadlineExceeded
	}
	if a := w.hello(stranger); a.status != http.StatusServiceUnavailable || left <= 0 || left > helloTime {
		t.Errorf("%d, with %v left", a.status, left)
	}
}
