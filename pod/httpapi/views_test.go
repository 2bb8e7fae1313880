package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kinopod/pod/config"
	"kinopod/shared/api"
)

// A viewer is an account, or an address; of IPv6 a network.
func TestWatched(t *testing.T) {
	d := newDoor(t, func(c *config.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for _, headers := range [][2]string{
		{"X-Forwarded-For", "192.0.2.7"},
		{"X-Forwarded-For", "2001:db8:1:2:3:4:5:6"},
		{"Authorization", "Bearer good"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+api.WatchedPath(d.video.ID), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(headers[0], headers[1])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			t.Errorf("%v: %s", headers, res.Status)
		}
	}
	if want := []string{"address 192.0.2.7/32", "address 2001:db8:1:2::/64", "account ann"}; !slices.Equal(d.watched, want) {
		t.Errorf("viewers %q, want %q", d.watched, want)
	}
}

func TestSorts(t *testing.T) {
	d := newDoor(t, nil)
	c := api.NewClient(d.url, "")
	for sort, want := range map[api.Sort]int{"": 1, api.Newest: 1, api.Trending: 2} {
		if p, err := c.Videos(t.Context(), api.VideosQuery{Sort: sort}); err != nil || len(p.Videos) != want {
			t.Errorf("%q: %d videos, %v", sort, len(p.Videos), err)
		}
	}
	if _, err := c.Videos(t.Context(), api.VideosQuery{Sort: "best"}); !api.Is(err, api.CodeInvalid) || !strings.Contains(err.Error(), "trending") {
		t.Errorf("a sort that is none: %v", err)
	}
}
