//go:build !race

package seeder

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v3"
)

// This runs without the race detector (make test): pion v3.3.6 reads its mux without a
// lock when a connection is closed in the moment that it comes about
// (ICETransport.stop and Start).

// Everything at once, for the race detector: peers come and go while torrents are
// dropped, the time is looked after and the context ends.
func TestComingAndGoing(t *testing.T) {
	files := &shelf{}
	books := []*book{files.add(t, 1<<20), files.add(t, 1<<20+1)}
	s := start(t, Config{BTListen: "127.0.0.1:0", Idle: time.Millisecond}, files)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 3 {
				b := books[(i+j)%2]
				v, sdp := offer(t)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				answer, err := s.Answer(ctx, b.torrent.InfoHash, v.id, local, sdp)
				cancel()
				if err == nil {
					_ = v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
				}
				s.Wanted(b.torrent.InfoHash)
				s.Stats()
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				v.close()
			}
		})
	}
	all.Go(func() {
		for i := range 10 {
			s.Drop(books[i%2].torrent.InfoHash)
			s.SetOff(i%3 == 0)
			s.sweep(time.Now())
			time.Sleep(20 * time.Millisecond)
		}
	})
	all.Wait()
}
