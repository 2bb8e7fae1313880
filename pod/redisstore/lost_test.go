package redisstore

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/catalog/catalogtest"
	"kinopod/shared/video"
)

// forgetful stands between the store and Redis and, when told to, loses the answer
// to the next script: Redis has done it, and the connection breaks.
type forgetful struct {
	where string
	lose  atomic.Bool
	lost  atomic.Int64
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
		if bytes.Contains(b[:n], []byte("evalsha")) && f.lose.CompareAndSwap(true, false) {
			f.lost.Add(1)
			silent.Store(true)
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
	session := accounts.Session{ID: accounts.TokenHash{2}, User: "anna", Created: at, LastSeen: at, Expires: time.Now().Add(time.Hour)}
	used := func(want int64) {
		t.Helper()
		if n, err := db.Used(ctx, "anna"); n != want || err != nil {
			t.Errorf("Used: %d, %v; want %d", n, err, want)
		}
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
		{"CreateUser", func() error { return db.CreateUser(ctx, u, invite) }},
		{"CreateSession", func() error { return db.CreateSession(ctx, session, "old") }},
		{"SetPassword", func() error { return db.SetPassword(ctx, "anna", "old", "new", session.ID) }},
		{"EndSession", func() error { return db.EndSession(ctx, "anna", session.ID) }},
		{"Reserve", func() error { return db.Reserve(ctx, "anna", r, 10) }},
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
