package accountstest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/video"
)

func testSessions(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	anna, bob := mustCreate(t, s, user("Anna")), mustCreate(t, s, user("bob"))
	_, err := s.Session(ctx, newHash())
	wantErr(t, "a session that is not there", err, accounts.ErrNotFound)
	one, two := mustBegin(t, s, anna), mustBegin(t, s, anna)
	other := mustBegin(t, s, bob)
	if got, err := s.Session(ctx, one.ID); err != nil || !reflect.DeepEqual(got, one) {
		t.Errorf("Session = %+v, %v; want %+v", got, err, one)
	}
	if all, err := s.Sessions(ctx, "anna"); err != nil || len(all) != 2 {
		t.Errorf("%d sessions, %v; want 2", len(all), err)
	}

	one.LastSeen, one.Expires = one.LastSeen.Add(time.Minute), one.Expires.Add(time.Hour)
	if err := s.TouchSession(ctx, one); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Session(ctx, one.ID); err != nil || !reflect.DeepEqual(got, one) {
		t.Errorf("after TouchSession: %+v, %v; want %+v", got, err, one)
	}

	wantErr(t, "another user's session", s.EndSession(ctx, "anna", other.ID), accounts.ErrNotFound)
	if err := s.EndSession(ctx, "ANNA", one.ID); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a session that ended", s.EndSession(ctx, "anna", one.ID), accounts.ErrNotFound)
	if err := s.TouchSession(ctx, one); err != nil {
		t.Errorf("TouchSession of one that ended: %v", err)
	}
	_, err = s.Session(ctx, one.ID)
	wantErr(t, "a session touched after its end", err, accounts.ErrNotFound)
	if all, err := s.Sessions(ctx, "anna"); err != nil || len(all) != 1 || all[0].ID != two.ID {
		t.Errorf("sessions left: %v, %v", all, err)
	}
	if _, err := s.Session(ctx, other.ID); err != nil {
		t.Errorf("the other user's session: %v", err)
	}
}

func testSessionExpires(t testing.TB, s accounts.Store) {
	u := mustCreate(t, s, user("anna"))
	in := session(u)
	in.Expires = now().Add(30 * time.Millisecond)
	if err := s.CreateSession(t.Context(), in, u.Password); err != nil {
		t.Fatal(err)
	}
	time.Sleep(60 * time.Millisecond)
	_, err := s.Session(t.Context(), in.ID)
	wantErr(t, "an expired session", err, accounts.ErrNotFound)
	if all, err := s.Sessions(t.Context(), "anna"); err != nil || len(all) != 0 {
		t.Errorf("Sessions: %v, %v; want none", all, err)
	}
}

func testSessionNeedsThePassword(t testing.TB, s accounts.Store) {
	u := mustCreate(t, s, user("anna"))
	in := session(u)
	wantErr(t, "an older password", s.CreateSession(t.Context(), in, "hash of another"), accounts.ErrChanged)
	in.User = "nobody"
	wantErr(t, "a user that is not there", s.CreateSession(t.Context(), in, u.Password), accounts.ErrChanged)
	_, err := s.Session(t.Context(), in.ID)
	wantErr(t, "a session that was refused", err, accounts.ErrNotFound)
}

func testMaxSessions(t testing.TB, s accounts.Store) {
	u := mustCreate(t, s, user("anna"))
	var all []accounts.Session
	for i := range accounts.MaxSessions + 3 {
		in := session(u)
		in.Expires = in.Expires.Add(time.Duration(i) * time.Second)
		if err := s.CreateSession(t.Context(), in, u.Password); err != nil {
			t.Fatal(err)
		}
		all = append(all, in)
	}
	if left, err := s.Sessions(t.Context(), "anna"); err != nil || len(left) != accounts.MaxSessions {
		t.Errorf("%d sessions, %v; want %d", len(left), err, accounts.MaxSessions)
	}
	for i, in := range all {
		_, err := s.Session(t.Context(), in.ID)
		if i < 3 {
			wantErr(t, fmt.Sprintf("session %d", i), err, accounts.ErrNotFound)
		} else if err != nil {
			t.Errorf("session %d: %v", i, err)
		}
	}
}

func testSetPassword(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	u, bob := mustCreate(t, s, user("anna")), mustCreate(t, s, user("bob"))
	keep, end, other := mustBegin(t, s, u), mustBegin(t, s, u), mustBegin(t, s, bob)
	wantErr(t, "of nobody", s.SetPassword(ctx, "nobody", "", "new", keep.ID), accounts.ErrNotFound)
	wantErr(t, "with another old one", s.SetPassword(ctx, "anna", "not it", "new", keep.ID), accounts.ErrChanged)
	if _, err := s.Session(ctx, end.ID); err != nil {
		t.Errorf("a session after a change that failed: %v", err)
	}
	if err := s.SetPassword(ctx, "ANNA", u.Password, "new", keep.ID); err != nil {
		t.Fatal(err)
	}
	u.Password = "new"
	if got, err := s.User(ctx, "anna"); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("User = %+v, %v; want %+v", got, err, u)
	}
	_, err := s.Session(ctx, end.ID)
	wantErr(t, "the other session", err, accounts.ErrNotFound)
	if all, err := s.Sessions(ctx, "anna"); err != nil || len(all) != 1 || all[0].ID != keep.ID {
		t.Errorf("sessions: %v, %v; want the one kept", all, err)
	}
	if _, err := s.Session(ctx, other.ID); err != nil {
		t.Errorf("the other user's session: %v", err)
	}
	if err := s.SetPassword(ctx, "anna", "", "by an admin", accounts.TokenHash{}); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Sessions(ctx, "anna"); err != nil || len(all) != 0 {
		t.Errorf("sessions after a change by an admin: %v, %v", all, err)
	}
}

func testNoSessionOutlivesItsPassword(t testing.TB, s accounts.Store) {
	for round := range 40 {
		u := mustCreate(t, s, user(fmt.Sprint("anna", round)))
		race(t, 6, func(i int) error {
			if i == 0 {
				return s.SetPassword(t.Context(), u.Name, u.Password, "new", accounts.TokenHash{})
			}
			return s.CreateSession(t.Context(), session(u), u.Password)
		}, accounts.ErrChanged)
		if all, err := s.Sessions(t.Context(), u.Name); err != nil || len(all) != 0 {
			t.Fatalf("%d sessions of the old password, %v", len(all), err)
		}
	}
}

func testQuota(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	one := accounts.Reservation{ID: video.NewID("pod.example"), Bytes: 60, At: now()}
	two := accounts.Reservation{ID: video.NewID("pod.example"), Bytes: 50, At: now()}
	used := func(want int64) {
		t.Helper()
		if n, err := s.Used(ctx, "Anna"); err != nil || n != want {
			t.Errorf("Used: %d, %v; want %d", n, err, want)
		}
	}
	reserve := func(r accounts.Reservation, limit int64) {
		t.Helper()
		if err := s.Reserve(ctx, "anna", r, limit); err != nil {
			t.Fatal(err)
		}
	}
	used(0)
	wantErr(t, "nobody's", s.Reserve(ctx, "anna", one, 100), accounts.ErrNotFound)
	used(0)
	mustCreate(t, s, user("Anna"))
	reserve(one, 100)
	reserve(one, 100) // once more is not twice as much
	used(60)
	wantErr(t, "over the limit", s.Reserve(ctx, "ANNA", two, 100), accounts.ErrQuota)
	used(60)
	reserve(two, 110)
	used(110)
	if all, err := s.Reservations(ctx, "anna"); err != nil || len(all) != 2 || !reflect.DeepEqual(all[0], one) && !reflect.DeepEqual(all[1], one) {
		t.Errorf("Reservations: %+v, %v", all, err)
	}
	one.Bytes = 70
	wantErr(t, "more for the same id", s.Reserve(ctx, "anna", one, 110), accounts.ErrQuota)
	one.Bytes = 10
	reserve(one, 5) // the limit was lowered: less is still welcome
	used(60)
	for range 2 {
		if err := s.Release(ctx, "anna", two.ID); err != nil {
			t.Fatal(err)
		}
		used(10)
	}
	two.Bytes = 1 << 50
	reserve(two, 0)
	used(1<<50 + 10)
	if n, err := s.Used(ctx, "bob"); err != nil || n != 0 {
		t.Errorf("another user's: %d, %v", n, err)
	}
	for _, id := range []video.ID{one.ID, two.ID} {
		if err := s.Release(ctx, "anna", id); err != nil {
			t.Fatal(err)
		}
	}
	used(0)
}

func testQuotaHoldsInARace(t testing.TB, s accounts.Store) {
	mustCreate(t, s, user("anna"))
	won := race(t, 32, func(int) error {
		return s.Reserve(t.Context(), "anna", accounts.Reservation{ID: video.NewID("pod.example"), Bytes: 10, At: now()}, 105)
	}, accounts.ErrQuota)
	if n, err := s.Used(t.Context(), "anna"); won != 10 || err != nil || n != 100 {
		t.Errorf("%d reservations of 10 went into 105, %d used, %v", won, n, err)
	}
}
