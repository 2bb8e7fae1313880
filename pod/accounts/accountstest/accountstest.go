// Package accountstest says by tests what an accounts.Store has to do.
package accountstest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
)

// TestStore runs the whole suite; open gives an empty store each time.
func TestStore(t *testing.T, open func(testing.TB) accounts.Store) {
	for _, test := range []struct {
		name string
		run  func(testing.TB, accounts.Store)
	}{
		{"Users", testUsers},
		{"OneNameOneUser", testOneNameOneUser},
		{"Setup", testSetup},
		{"SetupEndsWithAnyUser", testSetupEndsWithAnyUser},
		{"Invite", testInvite},
		{"OneGrantOneUser", testOneGrantOneUser},
		{"Sessions", testSessions},
		{"SessionExpires", testSessionExpires},
		{"SessionNeedsThePassword", testSessionNeedsThePassword},
		{"MaxSessions", testMaxSessions},
		{"SetPassword", testSetPassword},
		{"NoSessionOutlivesItsPassword", testNoSessionOutlivesItsPassword},
		{"Profile", testProfile},
		{"SetRole", testSetRole},
		{"RemoveUser", testRemoveUser},
		{"OneAdminStays", testOneAdminStays},
		{"Quota", testQuota},
		{"QuotaHoldsInARace", testQuotaHoldsInARace},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func newHash() (h accounts.TokenHash) {
	_, _ = rand.Read(h[:])
	return h
}

func user(name string) accounts.User {
	return accounts.User{Name: name, Role: api.RoleUser, Password: accounts.PasswordHash("hash of " + name), Created: now()}
}

func mustCreate(t testing.TB, s accounts.Store, u accounts.User) accounts.User {
	t.Helper()
	if err := s.CreateUser(t.Context(), u, accounts.Grant{}); err != nil {
		t.Fatal(err)
	}
	return u
}

func session(u accounts.User) accounts.Session {
	at := now()
	return accounts.Session{ID: newHash(), User: u.Name, Client: "Firefox on Linux", Created: at, LastSeen: at, Expires: at.Add(time.Hour)}
}

func mustBegin(t testing.TB, s accounts.Store, u accounts.User) accounts.Session {
	t.Helper()
	in := session(u)
	if err := s.CreateSession(t.Context(), in, u.Password); err != nil {
		t.Fatal(err)
	}
	return in
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func testUsers(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	_, err := s.User(ctx, "anna")
	wantErr(t, "user that is not there", err, accounts.ErrNotFound)
	anna := user("Anna.B")
	anna.Role = api.RoleModerator
	mustCreate(t, s, anna)
	for _, name := range []string{"Anna.B", "anna.b", "ANNA.B"} {
		if got, err := s.User(ctx, name); err != nil || !reflect.DeepEqual(got, anna) {
			t.Errorf("User(%s) = %+v, %v; want %+v", name, got, err, anna)
		}
	}
	wantErr(t, "name in another case", s.CreateUser(ctx, user("aNNa.b"), accounts.Grant{}), accounts.ErrTaken)
	mustCreate(t, s, user("bob"))
	if n, err := s.CountUsers(ctx); err != nil || n != 2 {
		t.Errorf("CountUsers: %d, %v", n, err)
	}
	names, err := s.Usernames(ctx)
	slices.Sort(names)
	if err != nil || len(names) != 2 || !strings.EqualFold(names[0], "anna.b") || names[1] != "bob" {
		t.Errorf("Usernames: %v, %v", names, err)
	}
}

// race runs f n times at once and counts the calls without an error; others must
// be of the kinds allowed.
func race(t testing.TB, n int, f func(int) error, allowed ...error) int {
	t.Helper()
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			err := f(i)
			if err == nil {
				won.Add(1)
			} else if !slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	return int(won.Load())
}

func testOneNameOneUser(t testing.TB, s accounts.Store) {
	won := race(t, 16, func(i int) error {
		u := user("anna")
		u.Password += accounts.PasswordHash(fmt.Sprint(i))
		return s.CreateUser(t.Context(), u, accounts.Grant{})
	}, accounts.ErrTaken)
	if won != 1 {
		t.Errorf("%d of 16 made the same user", won)
	}
}

func testSetup(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	first, second := accounts.Grant{Kind: accounts.GrantSetup, Token: newHash()}, accounts.Grant{Kind: accounts.GrantSetup, Token: newHash()}
	valid := func(g accounts.Grant, want bool) {
		t.Helper()
		if ok, err := s.ValidGrant(ctx, g); err != nil || ok != want {
			t.Errorf("ValidGrant: %v, %v; want %v", ok, err, want)
		}
	}
	valid(first, false)
	wantErr(t, "no token yet", s.CreateUser(ctx, user("anna"), first), accounts.ErrGrant)
	for _, g := range []accounts.Grant{first, second} {
		if err := s.PutSetup(ctx, g.Token); err != nil {
			t.Fatal(err)
		}
		valid(g, true)
	}
	valid(first, false)
	valid(accounts.Grant{}, true)
	wantErr(t, "a replaced token", s.CreateUser(ctx, user("anna"), first), accounts.ErrGrant)
	if n, _ := s.CountUsers(ctx); n != 0 {
		t.Fatalf("%d users after failures", n)
	}
	if err := s.CreateUser(ctx, user("anna"), second); err != nil {
		t.Fatal(err)
	}
	valid(second, false)
	wantErr(t, "a used token", s.CreateUser(ctx, user("bob"), second), accounts.ErrGrant)
	wantErr(t, "PutSetup with users", s.PutSetup(ctx, newHash()), accounts.ErrTaken)
}

func testSetupEndsWithAnyUser(t testing.TB, s accounts.Store) {
	g := accounts.Grant{Kind: accounts.GrantSetup, Token: newHash()}
	if err := s.PutSetup(t.Context(), g.Token); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, user("operator"))
	wantErr(t, "setup after another user came", s.CreateUser(t.Context(), user("anna"), g), accounts.ErrGrant)
}

func testInvite(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	mustCreate(t, s, user("anna"))
	g := accounts.Grant{Kind: accounts.GrantInvite, Token: newHash()}
	wantErr(t, "an unknown invitation", s.CreateUser(ctx, user("bob"), g), accounts.ErrGrant)
	if err := s.PutInvite(ctx, g.Token, "anna", now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "an invitation as setup token", s.CreateUser(ctx, user("bob"), accounts.Grant{Kind: accounts.GrantSetup, Token: g.Token}), accounts.ErrGrant)
	wantErr(t, "a taken name", s.CreateUser(ctx, user("Anna"), g), accounts.ErrTaken)
	if ok, err := s.ValidGrant(ctx, g); err != nil || !ok {
		t.Errorf("invitation after a failure: %v, %v", ok, err)
	}
	if err := s.CreateUser(ctx, user("bob"), g); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a used invitation", s.CreateUser(ctx, user("carl"), g), accounts.ErrGrant)

	g.Token = newHash()
	if err := s.PutInvite(ctx, g.Token, "anna", now().Add(30*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(60 * time.Millisecond)
	wantErr(t, "an old invitation", s.CreateUser(ctx, user("carl"), g), accounts.ErrGrant)
}

func testOneGrantOneUser(t testing.TB, s accounts.Store) {
	setup := accounts.Grant{Kind: accounts.GrantSetup, Token: newHash()}
	if err := s.PutSetup(t.Context(), setup.Token); err != nil {
		t.Fatal(err)
	}
	invite := accounts.Grant{Kind: accounts.GrantInvite, Token: newHash()}
	if err := s.PutInvite(t.Context(), invite.Token, "x", now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, g := range []accounts.Grant{setup, invite} { // the setup needs an empty store
		won := race(t, 16, func(i int) error {
			return s.CreateUser(t.Context(), user(fmt.Sprintf("guest-%d-%d", g.Kind, i)), g)
		}, accounts.ErrGrant)
		if won != 1 {
			t.Errorf("a grant of kind %d made %d users", g.Kind, won)
		}
	}
}
