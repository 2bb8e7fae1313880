package accountstest

import (
	"errors"
	"testing"

	"kinopod/pod/accounts"
	"kinopod/shared/video"
)

func testProfile(t testing.TB, s accounts.Store) {
	ctx := t.Context()
	want := func(name string, want video.Profile) {
		t.Helper()
		if got, err := s.Profile(ctx, name); err != nil || got != want {
			t.Errorf("profile of %s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	want("anna", video.Profile{})
	if err := s.SetProfile(ctx, "anna", video.Profile{Name: "A"}); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a profile of nobody: %v", err)
	}
	mustCreate(t, s, user("Anna"))
	mustCreate(t, s, user("bert"))
	p := video.Profile{Name: "Anna \"B.\" <b>", About: "Zwei\nZeilen."}
	if err := s.SetProfile(ctx, "anna", p); err != nil {
		t.Fatal(err)
	}
	want("ANNA", p)
	want("bert", video.Profile{})
	if err := s.SetProfile(ctx, "Anna", video.Profile{}); err != nil {
		t.Fatal(err)
	}
	want("anna", video.Profile{})
}
