package redisstore

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/pod/friends"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// forgetful stands between the store and Redis. When told to, it loses the answer to
// the next script, or note of a message: Redis has done it, and the connection breaks. Or it lets something
// else happen just before the next script.
type forgetful struct {
	where  string
	lose   atomic.Bool
	lost   atomic.Int64
	before atomic.Pointer[func()]
}

func newForgetful(t *testing.T, redis string) *forgetful {
	t.Helper()
	f := &forgetful{where: filepath.Join(filepath.Dir(redis), "f")}
	l, err := net.Listen("unix", f.where)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { f.serve(c, redis) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return f
}

func (f *forgetful) serve(c net.Conn, redis string) {
	defer c.Close()
	s, err := net.Dial("unix", redis)
	if err != nil {
		return
	}
	defer s.Close()
	var silent atomic.Bool
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		defer c.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := s.Read(b)
			if err != nil || silent.Load() {
				return
			}
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			break
		}
		if bytes.Contains(b[:n], []byte("evalsha")) || bytes.Contains(b[:n], []byte("fed:seen:")) {
			if happen := f.before.Swap(nil); happen != nil {
				(*happen)()
			}
			if f.lose.CompareAndSwap(true, false) {
				f.lost.Add(1)
				silent.Store(true)
			}
		}
		if _, err := s.Write(b[:n]); err != nil && err != io.EOF {
			break
		}
	}
	_ = s.Close()
	<-answers
}

// TestAnswerIsLost: what Redis has done although nobody heard so is done once, and
// answered as done.
func TestAnswerIsLost(t *testing.T) {
	s := startServer(t)
	f := newForgetful(t, s.socket())
	db := open(t, f.where)
	// Redis knows the scripts: "evalsha" is enough.
	ctx := t.Context()
	v, u := catalogtest.NewVideo(1), accounts.User{Name: "anna", Password: "old", Created: at}
	if _, err := db.Add(ctx, catalogtest.NewVideo(0)); err != nil {
		t.Fatal(err)
	}
	invite := accounts.Grant{Kind: accounts.GrantInvite, Token: accounts.TokenHash{1}}
	if err := db.PutInvite(ctx, invite.Token, "x", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r := accounts.Reservation{ID: v.ID, Bytes: 10, At: at}
	theirs := catalogtest.NewVideo(2)
	theirs.ID, theirs.Origin = video.NewID("friend.example"), "friend.example"
	session := accounts.Session{ID: accounts.TokenHash{2}, User: "anna", Created: at, LastSeen: at, Expires: time.Now().Add(time.Hour)}
	used := func(want int64) {
		t.Helper()
		if n, err := db.Used(ctx, "anna"); n != want || err != nil {
			t.Errorf("Used: %d, %v; want %d", n, err, want)
		}
	}
	deliver := func(want network.Score) error {
		f, err := db.ChangeFriend(ctx, friendly, func(f *friends.Friend) error {
			if f.State == "" {
				f.State, f.Score = network.Friend, network.StartScore-network.ScoreStep
			}
			f.Score += network.ScoreStep
			return nil
		})
		if known := friendOf(t, db, friendly); f.Score != want || known.Score != want {
			t.Errorf("a score of %d, %d is known, want %d", f.Score, known.Score, want)
		}
		return err
	}
	first := func(want bool) error {
		fresh, err := db.FirstMessage(ctx, friendly, "a", time.Now().Add(time.Hour))
		if fresh != want {
			t.Errorf("a message is new: %v, want %v", fresh, want)
		}
		return err
	}
	for _, step := range []struct {
		name string
		call func() error
	}{
		{"Add", func() error {
			added, err := db.Add(ctx, v)
			if !added {
				t.Error("Add says that it was there before")
			}
			return err
		}},
		{"Update", func() error {
			_, err := db.Update(ctx, v.ID, func(v *video.Video) error { v.Name, v.Thumbnail = "New", ""; return nil })
			return err
		}},
		{"Withdraw", func() error {
			got, err := db.Withdraw(ctx, v.ID, anyone)
			if got.Name != "New" {
				t.Errorf("Withdraw answers %+v", got)
			}
			return err
		}},
		{"Take", func() error {
			got, err := db.Take(ctx, theirs)
			if !slices.Equal(got, []catalog.Outcome{catalog.Taken}) {
				t.Errorf("Take says %v", got)
			}
			return err
		}},
		{"Take a change", func() error {
			theirs.Revision++
			theirs.Name, theirs.Thumbnail = "New", ""
			got, err := db.Take(ctx, theirs)
			if !slices.Equal(got, []catalog.Outcome{catalog.Taken}) {
				t.Errorf("Take of a change says %v", got)
			}
			return err
		}},
		{"Drop", func() error { return db.Drop(ctx, theirs.Origin, theirs.ID, true) }},
		{"CreateUser", func() error { return db.CreateUser(ctx, u, invite) }},
		{"CreateSession", func() error { return db.CreateSession(ctx, session, "old") }},
		{"SetPassword", func() error { return db.SetPassword(ctx, "anna", "old", "new", session.ID) }},
		{"EndSession", func() error { return db.EndSession(ctx, "anna", session.ID) }},
		{"Reserve", func() error { return db.Reserve(ctx, "anna", r, 10) }},
		{"ChangeFriend", func() error { return deliver(100) }},
		{"ChangeFriend again", func() error { return deliver(110) }},
		{"FirstMessage", func() error { return first(true) }},
		{"FirstMessage again", func() error { return first(false) }},
		{"ChangeFriend to nothing", func() error {
			_, err := db.ChangeFriend(ctx, friendly, func(f *friends.Friend) error {
				if f.State == "" {
					return errors.New("it is none")
				}
				f.State = ""
				return nil
			})
			return err
		}},
	} {
		before := f.lost.Load()
		f.lose.Store(true)
		if err := step.call(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if f.lost.Load() != before+1 {
			t.Errorf("%s: no answer was lost", step.name)
		}
		check(t, db)
	}
	used(10)
	f.lose.Store(true)
	if err := db.Release(ctx, "anna", r.ID); err != nil {
		t.Error(err)
	}
	used(0)
	if files, err := db.Withdrawn(ctx); err != nil || len(files) != 2 {
		t.Errorf("Withdrawn: %v, %v", files, err)
	}
	if n, err := db.CountUsers(ctx); n != 1 || err != nil {
		t.Errorf("%d users, %v", n, err)
	}
}

// TestInTheLastMoment lets others change what a transaction was made from, between
// its reading and its writing.
func TestInTheLastMoment(t *testing.T) {
	s := startServer(t)
	other := open(t, s.socket())
	f := newForgetful(t, s.socket())
	db := open(t, f.where)
	ctx := t.Context()
	meanwhile := func(happen func() error) {
		before := func() {
			if err := happen(); err != nil {
				t.Error(err)
			}
		}
		f.before.Store(&before)
	}
	u := accounts.User{Name: "anna", Password: "old", Created: at}
	if err := other.CreateUser(ctx, u, accounts.Grant{}); err != nil {
		t.Fatal(err)
	}
	session := accounts.Session{ID: accounts.TokenHash{2}, User: "anna", Created: at, LastSeen: at, Expires: time.Now().Add(time.Hour)}

	meanwhile(func() error { return other.SetPassword(ctx, "anna", "old", "new", accounts.TokenHash{}) })
	if err := db.CreateSession(ctx, session, "old"); !errors.Is(err, accounts.ErrChanged) {
		t.Errorf("a session of a password that was changed: %v", err)
	}

	if err := other.CreateSession(ctx, session, "new"); err != nil {
		t.Fatal(err)
	}
	meanwhile(func() error { return other.EndSession(ctx, "anna", session.ID) })
	session.Expires = session.Expires.Add(time.Hour)
	if err := db.TouchSession(ctx, session); err != nil {
		t.Error(err)
	}
	if _, err := db.Session(ctx, session.ID); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a session touched while it ended: %v", err)
	}

	v := catalogtest.NewVideo(1)
	meanwhile(func() error {
		_, err := other.Add(ctx, v)
		if err == nil {
			_, err = other.Withdraw(ctx, v.ID, anyone)
		}
		return err
	})
	if added, err := db.Add(ctx, v); added || !errors.Is(err, catalog.ErrWithdrawn) {
		t.Errorf("a video withdrawn while it is added: %v, %v", added, err)
	}

	// The other video of a file goes while the first is withdrawn: nobody has it now.
	a, b := catalogtest.NewVideo(2), catalogtest.NewVideo(3)
	b.Renditions = a.Renditions
	for _, v := range []video.Video{a, b} {
		if _, err := other.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	meanwhile(func() error { _, err := other.Withdraw(ctx, b.ID, anyone); return err })
	if _, err := db.Withdraw(ctx, a.ID, anyone); err != nil {
		t.Error(err)
	}
	if files, err := db.Withdrawn(ctx); err != nil || len(files) != 4 {
		t.Errorf("%d files to delete, %v; want all 4", len(files), err)
	}
	check(t, db)
	if f.before.Load() != nil {
		t.Error("not everything happened")
	}
}
