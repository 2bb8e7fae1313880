package podtest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"kinopod/pod"
	"kinopod/pod/config"
	"kinopod/pod/friends"
	"kinopod/shared/api"
	"kinopod/shared/network"
)

// Clock is the time of pods, which goes on as usual and can be put forward.
type Clock struct{ ahead atomic.Int64 }

// Now is a pod.Options' Now.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance puts the clock forward.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// TestTwoDaysAway: a friend is down for two days. Its videos are marked as unreachable,
// the deliveries fail and cost score, and it is not revoked; when it comes back it says
// so, and everything it missed is there within a minute, once. Only the time is not real.
func TestTwoDaysAway(t *testing.T) {
	t.Parallel()
	clock := &Clock{}
	o := pod.Options{Now: clock.Now}
	a := StartWith(t, o)
	b := StartWith(t, o, func(c *config.Config) { c.Friends = []string{string(a.Host())} })
	Eventually(t, "they are friends", func() bool { return len(friendsOf(t, a)) == 1 && len(friendsOf(t, b)) == 1 })
	anna, bob := a.User(t, "anna", api.RoleUser), b.User(t, "bob", api.RoleUser)
	edited, _ := anna.Film(t, WebM)
	removed, _ := anna.Film(t, WebM)
	theirs, _ := bob.Film(t, WebM)
	on := shelfOf(t, a)
	pictured := func(p *Pod, of api.Video) bool { // a picture that comes later is a change of its own
		v, err := api.NewClient(p.URL, "").Video(t.Context(), of.ID)
		return err == nil && v.ThumbnailURL != ""
	}
	Eventually(t, "both list all", func() bool {
		return pictured(a, theirs) && pictured(b, theirs) && pictured(b, edited) && pictured(b, removed) && friendsOf(t, a)[b.Host()].Behind == 0
	})
	before := friendsOf(t, a)[b.Host()].Score

	b.Stop(t)
	name := "While you were away"
	if _, err := anna.EditVideo(t.Context(), edited.ID, api.VideoEdit{Name: &name}); err != nil {
		t.Fatal(err)
	}
	if err := anna.RemoveVideo(t.Context(), removed.ID); err != nil {
		t.Fatal(err)
	}
	on.change(700) // more than a batch holds
	asked := "flush:" + string(b.Host())
	jobs := asynq.NewInspector(asynq.RedisClientOpt{Network: "unix", Addr: a.Redis().Addr()})
	defer jobs.Close()
	left := clock.Now()
	attempts := 0
	for clock.Now().Sub(left) < 48*time.Hour {
		var next time.Time
		Eventually(t, "the next attempt is due some time", func() bool {
			info, err := jobs.GetTaskInfo("federation", asked)
			if err != nil || info.State != asynq.TaskStateRetry {
				return false
			}
			next = info.NextProcessAt
			return true
		})
		if v, err := anna.Video(t.Context(), theirs.ID); err != nil || !v.Unreachable {
			t.Fatalf("after %v its video: %+v, %v", clock.Now().Sub(left), v, err)
		}
		clock.Advance(max(time.Until(next), 0))
		attempts++
		if err := jobs.RunTask("federation", asked); err != nil {
			t.Logf("it runs already: %v", err)
		}
		Eventually(t, "it is tried", func() bool {
			info, err := jobs.GetTaskInfo("federation", asked)
			return err == nil && info.State == asynq.TaskStateRetry && !info.NextProcessAt.Equal(next)
		})
	}
	f := friendsOf(t, a)[b.Host()]
	if f.State != network.Friend || f.Reachable || f.Score >= before || before-f.Score > 3*network.ScoreStep || attempts < 2*friends.Tries || attempts > 5*friends.Tries {
		t.Errorf("after %v and %d attempts: %+v, before it had a score of %d", clock.Now().Sub(left), attempts, f, before)
	}
	t.Logf("%v away: %d attempts, a score of %d after %d", clock.Now().Sub(left).Round(time.Hour), attempts, f.Score, before)

	down := f.Score
	b.StartAgain(t)
	began := clock.Now()
	then := shelfOf(t, b)
	Eventually(t, "it has everything that it missed", func() bool {
		got := videosOf(t, b, a.Host())
		return len(got) == len(videosOf(t, a, a.Host())) && got[edited.ID] == name && got[removed.ID] == ""
	})
	Eventually(t, "it is reached again, and nothing waits for it", func() bool {
		f = friendsOf(t, a)[b.Host()]
		return f.Reachable && f.Behind == 0
	})
	// The clock was not put forward: nothing waited for the next attempt, hours away.
	if took := clock.Now().Sub(began); took > time.Minute {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("all there %v after its start", took.Round(time.Millisecond))
	}
	if n := then.count(on); n != len(on.own)+1 {
		t.Errorf("%d videos of a friend that has %d", n, len(on.own)+1)
	}
	if f.State != network.Friend || f.Score <= down || f.Score > down+10*network.ScoreStep {
		t.Errorf("%+v, before it had a score of %d", f, down)
	}
	if v, err := anna.Video(t.Context(), theirs.ID); err != nil || v.Unreachable {
		t.Errorf("its video: %+v, %v", v, err)
	}
}
