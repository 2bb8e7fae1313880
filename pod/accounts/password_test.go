package accounts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kinopod/shared/api"
)

func TestPasswordHash(t *testing.T) {
	h := newHasher()
	one, err := h.hash(t.Context(), "password one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.hash(t.Context(), "password one")
	if err != nil || one == two || !strings.HasPrefix(string(one), "$argon2id$v=19$m=32768,t=3,p=1$") {
		t.Errorf("hashes %s and %s, %v", one, two, err)
	}
	for _, c := range []struct {
		password string
		hash     PasswordHash
		want     bool
	}{{"password one", one, true}, {"password two", one, false}, {"", one, false}, {"password one", "", false}, {"", "", false}} {
		if ok, err := h.matches(t.Context(), c.password, c.hash); ok != c.want || err != nil {
			t.Errorf("%q against %q: %v, %v", c.password, c.hash, ok, err)
		}
	}
	for _, broken := range []PasswordHash{"x", "$argon2i$v=19$m=8,t=1,p=1$AAAA$AAAA", one[:len(one)-3], "$argon2id$v=19$m=8,t=0,p=1$AAAA$" + PasswordHash(strings.Repeat("A", 43))} {
		if _, err := h.matches(t.Context(), "password one", broken); err == nil {
			t.Errorf("%s is no error", broken)
		}
	}
}

// TestHashOfBefore reads a hash with other parameters: these may change.
func TestHashOfBefore(t *testing.T) {
	old := &hasher{passes: 1, memory: 64, slots: make(chan struct{}, 1)}
	hash, err := old.hash(t.Context(), "password one")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := newHasher().matches(t.Context(), "password one", hash); !ok || err != nil {
		t.Errorf("matches: %v, %v", ok, err)
	}
}

func TestUnknownUserCostsTheSame(t *testing.T) {
	h := newHasher()
	hash, err := h.hash(t.Context(), "password one")
	if err != nil {
		t.Fatal(err)
	}
	known, unknown := time.Hour, time.Hour
	for range 30 { // until both had the machine for themselves once
		for want, best := range map[PasswordHash]*time.Duration{hash: &known, "": &unknown} {
			began := time.Now()
			if _, err := h.matches(t.Context(), "a wrong guess", want); err != nil {
				t.Fatal(err)
			}
			*best = min(*best, time.Since(began))
		}
		if unknown < known*3/2 && known < unknown*3/2 {
			return
		}
	}
	t.Errorf("known user %v, unknown user %v", known, unknown)
}

// TestLoginFlood: however many come at once, two hashes' memory is used, and who
// would have to wait long is turned away.
func TestLoginFlood(t *testing.T) {
	h := newHasher()
	if most := cap(h.slots) * int(h.memory) << 10; most > 64<<20 {
		t.Errorf("hashes take up to %d MiB", most>>20)
	}
	for range cap(h.slots) { // two that take their time
		h.slots <- struct{}{}
	}
	const logins = 500
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make(chan error)
	for range logins {
		go func() {
			_, err := h.matches(ctx, "a guess", "")
			results <- err
		}()
	}
	for range logins - hashesWaiting {
		if err := <-results; !api.Is(err, api.CodeUnavailable) {
			t.Fatalf("one too many: %v", err)
		}
	}
	cancel() // the others are still waiting
	for range hashesWaiting {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Fatalf("one that waits: %v", err)
		}
	}
	<-h.slots
	if _, err := h.matches(t.Context(), "a guess", ""); err != nil {
		t.Errorf("after the flood: %v", err)
	}
}

func TestClientOf(t *testing.T) {
	for ua, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0":                                                                             "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36":                                    "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0":                      "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15":                              "Safari on macOS",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1":            "Safari on iOS",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36":                              "Chrome on Android",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36":                                     "Chrome on ChromeOS",
		"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36": "Samsung Internet on Android",
		"curl/8.5.0": "curl", "tus-js-client/4.3.1 (Linux)": "tus-js-client on Linux", "": "Unknown", "Mozilla/5.0": "Unknown", "Mozilla/5.0 (Linux)": "Unknown on Linux",
		"<script>alert(1)</script>/1": "Unknown", "a\nb/1": "Unknown", strings.Repeat("x", 5000): "Unknown",
	} {
		if got := clientOf(ua); got != want {
			t.Errorf("%.80q is %q, want %q", ua, got, want)
		}
	}
}

func TestLimiterForgets(t *testing.T) {
	now := time.Now()
	l := newLimiter(5, func() time.Time { return now })
	for i := range maxBuckets + 5 {
		if err := l.take(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(l.buckets); n > maxBuckets {
		t.Errorf("%d buckets at once", n)
	}
	now = now.Add(time.Minute)
	l.prune(now)
	if n := len(l.buckets); n != 0 {
		t.Errorf("%d buckets after a quiet minute", n)
	}
}

func TestAddressKey(t *testing.T) {
	for a, b := range map[string]string{"::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::ffff", "fe80::1%eth0": "fe80::1%eth1"} {
		if x, y := addressKey(netip.MustParseAddr(a)), addressKey(netip.MustParseAddr(b)); x != y {
			t.Errorf("%s and %s are two: %s, %s", a, b, x, y)
		}
	}
	if x, y := addressKey(netip.MustParseAddr("192.0.2.1")), addressKey(netip.MustParseAddr("192.0.2.2")); x == y {
		t.Errorf("two addresses are one: %s", x)
	}
	if addressKey(netip.Addr{}) == addressKey(netip.IPv6Unspecified()) {
		t.Error("no address is an address")
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1.0 KiB", 1 << 30: "1.0 GiB", 1536 << 20: "1.5 GiB", 1 << 62: "4096.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
