package podtest

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"kinopod/pod/config"
	"kinopod/shared/api"
)

// TestTrackerSocketsAreTheTrackers sees that a WebSocket that the tracker took over
// counts at the tracker alone, by its limit.
func TestTrackerSocketsAreTheTrackers(t *testing.T) {
	const most, sockets = 10, 40
	p := Start(t, func(c *config.Config) {
		c.TrustedProxies = []netip.Prefix{}
		c.Limits.ConnectionsPerAddress, c.Limits.TrackerConnectionsPerAddress = most, sockets
	})
	address := strings.Replace(p.URL, "http://", "ws://", 1) + api.PathTrackerSocket
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for i := range sockets {
		c, _, _, err := ws.Dial(t.Context(), address)
		if err != nil {
			t.Fatalf("socket %d: %v", i, err)
		}
		open = append(open, c)
	}
	if got := status(t, p.URL+api.PathPod); got != 200 {
		t.Errorf("with %d sockets open the pod answers %d", sockets, got)
	}
}
