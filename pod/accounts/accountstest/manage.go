package accountstest

import (
	"testing"

	"kinopod/pod/accounts"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

func admin(name string) accounts.User {
	u := user(name)
	u.Role = api.RoleAdmin
	return u
}

func testSetRole(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	wantErr(t, "role of nobody", s.SetRole(ctx, "anna", api.RoleAdmin), accounts.ErrNotFound)
	anna := mustCreate(t, s, user("Anna"))
	for _, role := range []api.Role{api.RoleAdmin, api.RoleAdmin} {
		if err := s.SetRole(ctx, "anna", role); err != nil {
			t.Fatal(err)
		}
	}
	anna.Role = api.RoleAdmin
	if got, err := s.User(ctx, "anna"); err != nil || got != anna {
		t.Errorf("%+v, %v; want %+v", got, err, anna)
	}
	wantErr(t, "only administrator", s.SetRole(ctx, "anna", api.RoleUser), accounts.ErrLastAdmin)
	mustCreate(t, s, admin("bob"))
	if err := s.SetRole(ctx, "anna", api.RoleUser); err != nil {
		t.Error(err)
	}
}

func testRemoveUser(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	wantErr(t, "nobody", s.RemoveUser(ctx, "anna"), accounts.ErrNotFound)
	anna, bob := mustCreate(t, s, user("Anna")), mustCreate(t, s, user("bob"))
	gone, stays := mustBegin(t, s, anna), mustBegin(t, s, bob)
	if err := s.SetProfile(ctx, "anna", video.Profile{Name: "Anna B."}); err != nil {
		t.Fatal(err)
	}
	r := accounts.Reservation{ID: video.ID{1}, Bytes: 5, At: now()}
	if err := s.Reserve(ctx, "anna", r, 0); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "something reserved", s.RemoveUser(ctx, "anna"), accounts.ErrBooked)
	if err := s.Release(ctx, "anna", r.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveUser(ctx, "ANNA"); err != nil {
		t.Fatal(err)
	}
	_, err := s.User(ctx, "anna")
	wantErr(t, "a removed user", err, accounts.ErrNotFound)
	wantErr(t, "an upload of theirs that begins now", s.Reserve(ctx, "anna", r, 0), accounts.ErrNotFound)
	_, err = s.Session(ctx, gone.ID)
	wantErr(t, "their session", err, accounts.ErrNotFound)
	wantErr(t, "another session", s.CreateSession(ctx, session(anna), anna.Password), accounts.ErrChanged)
	if _, err := s.Session(ctx, stays.ID); err != nil {
		t.Errorf("another's session: %v", err)
	}
	mustCreate(t, s, user("anna"))
	if p, err := s.Profile(ctx, "anna"); err != nil || p != (video.Profile{}) {
		t.Errorf("the next anna has a profile: %+v, %v", p, err)
	}
}

func testOneAdminStays(t testing.TB, s accounts.Store) {
	names := []string{"a1", "a2", "a3", "a4"}
	for _, name := range names {
		mustCreate(t, s, admin(name))
	}
	won := race(t, len(names), func(i int) error {
		if i%2 == 0 {
			return s.RemoveUser(t.Context(), names[i])
		}
		return s.SetRole(t.Context(), names[i], api.RoleUser)
	}, accounts.ErrLastAdmin)
	if won != len(names)-1 {
		t.Errorf("%d of %d administrators went", won, len(names))
	}
}
