package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

const goodPassword = "correct horse battery"

var (
	home   = netip.MustParseAddr("192.0.2.1")
	policy = accounts.Policy{Registration: accounts.Open, QuotaBytes: 100 << 20, LoginsPerMinute: 5}
)

// world is a pod's accounts with a clock of its own. Sessions and invitations of
// memory expire by the real clock, so this one only ever runs ahead of it.
type world struct {
	*accounts.Accounts
	store *memory
	clock time.Time
}

func newWorld(t *testing.T, p accounts.Policy, users ...string) *world {
	t.Helper()
	w := &world{store: newMemory(), clock: time.Now()}
	w.Accounts = accounts.New(w.store, p, func() time.Time { return w.clock })
	w.CheapHashes()
	for i, name := range users {
		role := api.RoleUser
		if i == 0 {
			role = api.RoleAdmin
		}
		if err := w.Create(t.Context(), name, goodPassword, role); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) login(t *testing.T, name string) (api.Session, accounts.Actor) {
	t.Helper()
	s, err := w.Login(t.Context(), api.Credentials{Username: name, Password: goodPassword}, home, "curl/8.5.0")
	if err != nil {
		t.Fatal(err)
	}
	actor, err := w.Authenticate(t.Context(), s.Token)
	if err != nil {
		t.Fatal(err)
	}
	return s, actor
}

func wantCode(t *testing.T, what string, err error, code api.Code) {
	t.Helper()
	if code == "" && err == nil {
		return
	}
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want code %q", what, err, code)
	}
}

func TestNamesAndPasswords(t *testing.T) {
	w := newWorld(t, policy, "admin")
	for _, c := range []struct {
		name, password string
		want           api.Code
	}{
		{"a", goodPassword, ""},
		{"Anna.B_c-9", goodPassword, ""},
		{strings.Repeat("x", 40), goodPassword, ""},
		{"eight", "12345678", ""},
		{"runes", strings.Repeat("ü", 8), ""},
		{"long", strings.Repeat("ü", 200), ""},
		{"", goodPassword, api.CodeInvalid},
		{strings.Repeat("x", 41), goodPassword, api.CodeInvalid},
		{strings.Repeat("x", 10000), goodPassword, api.CodeInvalid},
		{"with space", goodPassword, api.CodeInvalid},
		{"a\x00b", goodPassword, api.CodeInvalid},
		{"<b>", goodPassword, api.CodeInvalid},
		{"../x", goodPassword, api.CodeInvalid},
		{".hidden", goodPassword, api.CodeInvalid},
		{"dot.", goodPassword, api.CodeInvalid},
		{"а" /* Cyrillic */, goodPassword, api.CodeInvalid},
		{"p1", "1234567", api.CodeInvalid},
		{"p2", strings.Repeat("ü", 7), api.CodeInvalid},
		{"p3", strings.Repeat("x", 201), api.CodeInvalid},
		{"p4", "not text \xff", api.CodeInvalid},
		{"password4", "PassWord4", api.CodeInvalid},
		{"ADMIN", goodPassword, api.CodeConflict},
	} {
		before, _ := w.store.CountUsers(t.Context())
		wantCode(t, fmt.Sprintf("%.20q %.20q", c.name, c.password), w.Create(t.Context(), c.name, c.password, api.RoleUser), c.want)
		if after, _ := w.store.CountUsers(t.Context()); after-before != 0 && c.want != "" {
			t.Errorf("%.20q: refused and made", c.name)
		}
	}
	wantCode(t, "no such role", w.Create(t.Context(), "king", goodPassword, "king"), api.CodeInvalid)
}

func TestFirstRun(t *testing.T) {
	w := newWorld(t, accounts.Policy{Registration: accounts.Closed})
	register := func(name, setup string) error {
		_, err := w.Register(t.Context(), api.Registration{Username: name, Password: goodPassword, Setup: setup}, home, "")
		return err
	}
	old, needed, err := w.Setup(t.Context())
	if err != nil || !needed || old == "" {
		t.Fatal(old, needed, err)
	}
	token, needed, err := w.Setup(t.Context()) // the pod starts again
	if err != nil || !needed || token == old {
		t.Fatal(token, needed, err)
	}
	wantCode(t, "the former start's token", register("anna", old), api.CodeForbidden)
	wantCode(t, "garbage", register("anna", "garbage"), api.CodeForbidden)
	wantCode(t, "a bad password", func() error {
		_, err := w.Register(t.Context(), api.Registration{Username: "anna", Password: "short", Setup: token}, home, "")
		return err
	}(), api.CodeInvalid)
	wantCode(t, "the token", register("anna", token), "")
	if _, actor := w.login(t, "anna"); actor.Role != api.RoleAdmin || !actor.MayModerate() {
		t.Errorf("the first user is %+v", actor)
	}
	wantCode(t, "the token once more", register("bob", token), api.CodeForbidden)
	if token, needed, err := w.Setup(t.Context()); err != nil || needed || token != "" {
		t.Errorf("Setup with users: %q, %v, %v", token, needed, err)
	}
}

func TestRegistration(t *testing.T) {
	for _, c := range []struct {
		registration accounts.Registration
		plain        api.Code // Register without an invitation
		invite       api.Code // CreateInvite by a moderator
	}{
		{accounts.Closed, api.CodeForbidden, api.CodeForbidden},
		{accounts.Invite, api.CodeForbidden, ""},
		{accounts.Open, "", api.CodeConflict},
	} {
		t.Run(string(c.registration), func(t *testing.T) {
			w := newWorld(t, accounts.Policy{Registration: c.registration}, "admin", "user")
			register := func(name, invite string) error {
				_, err := w.Register(t.Context(), api.Registration{Username: name, Password: goodPassword, Invite: invite}, home, "")
				return err
			}
			wantCode(t, "without invitation", register("anna", ""), c.plain)
			_, user := w.login(t, "user")
			_, err := w.CreateInvite(t.Context(), user)
			wantCode(t, "invitation by a user", err, api.CodeForbidden)
			_, admin := w.login(t, "admin")
			invite, err := w.CreateInvite(t.Context(), admin)
			wantCode(t, "invitation", err, c.invite)
			if err != nil {
				return
			}
			wantCode(t, "a wrong invitation", register("bob", "nonsense"), api.CodeForbidden)
			wantCode(t, "a taken name", register("USER", invite.Token), api.CodeConflict)
			wantCode(t, "the invitation", register("bob", invite.Token), "")
			wantCode(t, "the invitation again", register("carl", invite.Token), api.CodeForbidden)
			if _, bob := w.login(t, "bob"); bob.Role != api.RoleUser {
				t.Errorf("who was invited is %s", bob.Role)
			}
		})
	}
	t.Run("open before it is set up", func(t *testing.T) {
		w := newWorld(t, policy)
		_, err := w.Register(t.Context(), api.Registration{Username: "first", Password: goodPassword}, home, "")
		wantCode(t, "the first account", err, api.CodeForbidden)
	})
}

func TestLogin(t *testing.T) {
	w := newWorld(t, accounts.Policy{}, "Anna")
	s, actor := w.login(t, "ANNA")
	if actor.Username != "Anna" || s.User.Username != "Anna" || s.User.Role != api.RoleAdmin {
		t.Errorf("session of %+v, actor %+v", s.User, actor)
	}
	for _, c := range []api.Credentials{
		{Username: "Anna", Password: goodPassword + "x"},
		{Username: "Anna"},
		{Username: "nobody", Password: goodPassword},
		{Username: "", Password: ""},
		{Username: "\xff\x00", Password: goodPassword},
	} {
		_, err := w.Login(t.Context(), c, home, "")
		wantCode(t, fmt.Sprintf("%+v", c), err, api.CodeUnauthorized)
		if err != nil && err.Error() != "The user name or the password is wrong." {
			t.Errorf("%+v tells more: %v", c, err)
		}
	}
	w.store.fail = &api.Error{Code: api.CodeUnavailable, Message: "down"}
	_, err := w.Login(t.Context(), api.Credentials{Username: "Anna", Password: goodPassword}, home, "")
	wantCode(t, "store down", err, api.CodeUnavailable)
}

func TestSessions(t *testing.T) {
	w := newWorld(t, accounts.Policy{QuotaBytes: 7}, "anna", "bob")
	for _, token := range []string{"", "x", strings.Repeat("A", 43)} {
		_, err := w.Authenticate(t.Context(), token)
		wantCode(t, "token "+token, err, api.CodeUnauthorized)
	}
	first, anna := w.login(t, "anna")
	w.clock = w.clock.Add(time.Minute)
	second, _ := w.login(t, "anna")
	_, bob := w.login(t, "bob")

	list, err := w.Sessions(t.Context(), anna)
	if err != nil || len(list) != 2 || list[0].Current || !list[1].Current || list[1].ID != anna.SessionID || list[0].Client != "curl" {
		t.Fatalf("Sessions: %+v, %v", list, err)
	}
	wantCode(t, "another user's session", w.EndSession(t.Context(), bob, list[0].ID), api.CodeNotFound)
	wantCode(t, "nonsense", w.EndSession(t.Context(), anna, "nonsense"), api.CodeNotFound)
	wantCode(t, "own session", w.EndSession(t.Context(), anna, list[0].ID), "")
	_, err = w.Authenticate(t.Context(), second.Token)
	wantCode(t, "a session that was ended", err, api.CodeUnauthorized)

	me, err := w.Me(t.Context(), anna)
	if err != nil || me.Username != "anna" || me.QuotaBytes != 7 || me.Created.IsZero() {
		t.Errorf("Me: %+v, %v", me, err)
	}
	for range 2 {
		wantCode(t, "Logout", w.Logout(t.Context(), anna), "")
	}
	_, err = w.Authenticate(t.Context(), first.Token)
	wantCode(t, "after Logout", err, api.CodeUnauthorized)
}

func TestSessionSlides(t *testing.T) {
	w := newWorld(t, policy, "anna")
	s, _ := w.login(t, "anna")
	for range 4 { // used now and then, it lives on
		w.clock = w.clock.Add(29 * 24 * time.Hour)
		if _, err := w.Authenticate(t.Context(), s.Token); err != nil {
			t.Fatal(err)
		}
	}
	w.clock = w.clock.Add(30 * 24 * time.Hour)
	_, err := w.Authenticate(t.Context(), s.Token)
	wantCode(t, "unused for 30 days", err, api.CodeUnauthorized)
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t, policy, "anna")
	_, anna := w.login(t, "anna")
	other, _ := w.login(t, "anna")
	change := func(old, next string) error {
		return w.ChangePassword(t.Context(), anna, api.PasswordChange{Old: old, New: next})
	}
	wantCode(t, "wrong old one", change("wrong password", "another password"), api.CodeForbidden)
	wantCode(t, "too short", change(goodPassword, "short"), api.CodeInvalid)
	wantCode(t, "good", change(goodPassword, "another password"), "")
	_, err := w.Authenticate(t.Context(), other.Token)
	wantCode(t, "the other session", err, api.CodeUnauthorized)
	if list, err := w.Sessions(t.Context(), anna); err != nil || len(list) != 1 || !list[0].Current {
		t.Errorf("Sessions: %+v, %v", list, err)
	}
	_, err = w.Login(t.Context(), api.Credentials{Username: "anna", Password: goodPassword}, home, "")
	wantCode(t, "the old password", err, api.CodeUnauthorized)

	wantCode(t, "of nobody", w.SetPassword(t.Context(), "nobody", "a third password"), api.CodeNotFound)
	wantCode(t, "bad one by an admin", w.SetPassword(t.Context(), "anna", "ANNA"), api.CodeInvalid)
	wantCode(t, "by an admin", w.SetPassword(t.Context(), "anna", "a third password"), "")
	if list, err := w.Sessions(t.Context(), anna); err != nil || len(list) != 0 {
		t.Errorf("sessions after a change by an admin: %+v, %v", list, err)
	}
}

func TestAttemptsAreLimited(t *testing.T) {
	login := func(w *world, name, password, from string) error {
		_, err := w.Login(t.Context(), api.Credentials{Username: name, Password: password}, netip.MustParseAddr(from), "")
		return err
	}
	t.Run("by account", func(t *testing.T) {
		w := newWorld(t, policy, "anna")
		for i := range 5 {
			wantCode(t, "attempt", login(w, "Anna", "wrong password", fmt.Sprintf("192.0.2.%d", i)), api.CodeUnauthorized)
		}
		err := login(w, "anna", goodPassword, "192.0.2.99")
		wantCode(t, "the sixth", err, api.CodeRateLimited)
		var limited *accounts.Limited
		if !errors.As(err, &limited) || limited.After != 12*time.Second || !strings.Contains(err.Error(), "12 s") {
			t.Errorf("when to try again: %v", err)
		}
		w.clock = w.clock.Add(12 * time.Second)
		wantCode(t, "then", login(w, "anna", goodPassword, "192.0.2.99"), "")
	})
	t.Run("not where the user is at home", func(t *testing.T) {
		w := newWorld(t, policy, "anna")
		wantCode(t, "once", login(w, "anna", goodPassword, "2001:db8:7::1"), "")
		for i := range 6 {
			_ = login(w, "anna", "wrong password", fmt.Sprintf("192.0.2.%d", i))
		}
		wantCode(t, "elsewhere", login(w, "anna", goodPassword, "192.0.2.99"), api.CodeRateLimited)
		wantCode(t, "at home", login(w, "Anna", goodPassword, "2001:db8:7::2"), "")
		for range 5 {
			wantCode(t, "a guess at home", login(w, "anna", "wrong password", "2001:db8:7::3"), api.CodeUnauthorized)
		}
		wantCode(t, "after five guesses at home", login(w, "anna", goodPassword, "2001:db8:7::1"), api.CodeRateLimited)
	})
	t.Run("by address", func(t *testing.T) {
		w := newWorld(t, policy, "anna")
		for i := range 5 { // an IPv6 customer has a whole /64
			wantCode(t, "attempt", login(w, fmt.Sprint("nobody", i), "wrong password", fmt.Sprintf("2001:db8::%d", i)), api.CodeUnauthorized)
		}
		wantCode(t, "the sixth", login(w, "anna", goodPassword, "2001:db8::77"), api.CodeRateLimited)
		wantCode(t, "from elsewhere", login(w, "anna", goodPassword, "2001:db8:0:1::"), "")
	})
	t.Run("not when they succeed", func(t *testing.T) {
		w := newWorld(t, policy, "anna")
		for range 20 {
			wantCode(t, "login", login(w, "anna", goodPassword, "::ffff:192.0.2.1"), "")
		}
	})
	t.Run("of registering", func(t *testing.T) {
		w := newWorld(t, policy, "admin")
		for i := range 6 {
			_, err := w.Register(t.Context(), api.Registration{Username: fmt.Sprint("bot", i), Password: goodPassword}, home, "")
			want := api.Code("")
			if i == 5 {
				want = api.CodeRateLimited
			}
			wantCode(t, fmt.Sprint("account ", i), err, want)
		}
	})
	t.Run("of changing the password", func(t *testing.T) {
		w := newWorld(t, policy, "anna")
		_, anna := w.login(t, "anna")
		for i := range 6 { // which keeps nobody with a session from it
			_ = login(w, "anna", "wrong password", fmt.Sprintf("192.0.2.%d", i))
		}
		for i := range 6 {
			want := api.CodeForbidden
			if i == 5 {
				want = api.CodeRateLimited
			}
			wantCode(t, fmt.Sprint("guess ", i), w.ChangePassword(t.Context(), anna, api.PasswordChange{Old: "a guess", New: goodPassword}), want)
		}
	})
}

func TestQuota(t *testing.T) {
	w := newWorld(t, policy, "anna")
	one, two := video.NewID("pod.example"), video.NewID("pod.example")
	wantCode(t, "60 of 100", w.Reserve(t.Context(), "anna", one, 60<<20), "")
	err := w.Reserve(t.Context(), "anna", two, 50<<20)
	wantCode(t, "50 more", err, api.CodeTooLarge)
	if err == nil || !strings.Contains(err.Error(), "50.0 MiB") || !strings.Contains(err.Error(), "40.0 MiB is free") {
		t.Errorf("it does not say how much: %v", err)
	}
	wantCode(t, "a size below zero", w.Reserve(t.Context(), "anna", two, -1), api.CodeInvalid)
	wantCode(t, "Release", w.Release(t.Context(), "anna", one), "")
	wantCode(t, "then", w.Reserve(t.Context(), "anna", two, 50<<20), "")
	_, anna := w.login(t, "anna")
	if me, err := w.Me(t.Context(), anna); err != nil || me.UsedBytes != 50<<20 {
		t.Errorf("Me: %+v, %v", me, err)
	}
}

// TestVanishedUploads: a pod that was killed leaves a booking without an upload.
func TestVanishedUploads(t *testing.T) {
	w := newWorld(t, policy, "anna", "bob")
	kept, gone, fresh := video.NewID("pod.example"), video.NewID("pod.example"), video.NewID("pod.example")
	for user, id := range map[string]video.ID{"anna": kept, "bob": gone} {
		wantCode(t, "Reserve", w.Reserve(t.Context(), user, id, 1<<20), "")
	}
	w.clock = w.clock.Add(2 * time.Hour)
	wantCode(t, "Reserve", w.Reserve(t.Context(), "bob", fresh, 2<<20), "")
	exists := func(_ context.Context, id video.ID) (bool, error) { return id == kept, nil }
	for _, want := range []int{1, 0} {
		if n, err := w.ReleaseVanished(t.Context(), exists); n != want || err != nil {
			t.Errorf("ReleaseVanished: %d, %v; want %d", n, err, want)
		}
	}
	for user, want := range map[string]int64{"anna": 1 << 20, "bob": 2 << 20} {
		if n, err := w.store.Used(t.Context(), user); n != want || err != nil {
			t.Errorf("%s uses %d, %v; want %d", user, n, err, want)
		}
	}
	w.clock = w.clock.Add(2 * time.Hour)
	down := errors.New("down")
	if _, err := w.ReleaseVanished(t.Context(), func(context.Context, video.ID) (bool, error) { return false, down }); !errors.Is(err, down) {
		t.Errorf("who cannot say whether it exists: %v", err)
	}
	if all, _ := w.store.Reservations(t.Context(), "bob"); !slices.ContainsFunc(all, func(r accounts.Reservation) bool { return r.ID == fresh }) {
		t.Error("released although nobody could say whether it exists")
	}
}
