package pod

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"kinopod/pod/federation"
	"kinopod/pod/friends"
	"kinopod/pod/identity"
	"kinopod/shared/network"
)

// records is a friends.Store.
type records map[network.Host]friends.Friend

func (r records) Friends(context.Context) ([]friends.Friend, error) {
	return slices.Collect(maps.Values(r)), nil
}

func (r records) ChangeFriend(_ context.Context, h network.Host, change func(*friends.Friend) error) (friends.Friend, error) {
	f := r[h]
	f.Host = h
	err := change(&f)
	if err == nil {
		r[h] = f
	}
	return f, err
}

// TestForgetOldKeys: a key is kept while a friend has it on record, and for a while in any
// case.
func TestForgetOldKeys(t *testing.T) {
	id, err := identity.Open(t.TempDir(), "us.example")
	if err != nil {
		t.Fatal(err)
	}
	changed := time.Now()
	for range 2 {
		if err := id.Change(changed); err != nil {
			t.Fatal(err)
		}
	}
	all := records{}
	p := &Pod{identity: id, log: slog.New(slog.DiscardHandler), friends: friends.New(all, "us.example", 0, time.Now)}
	keys := p.keys()
	knows := func(h network.Host, s network.State, key int) {
		t.Helper()
		_, err := all.ChangeFriend(t.Context(), h, func(f *friends.Friend) error {
			f.State, f.OurKey = s, federation.Key{PublicKey: &keys[key].PublicKey}.ID()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p.friends = friends.New(all, "us.example", 0, time.Now)
	}
	left := func(when string, before time.Time, want int) {
		t.Helper()
		if err := p.forgetOldKeys(t.Context(), before); err != nil || len(p.keys()) != want {
			t.Errorf("%s: %d keys are left, want %d; %v", when, len(p.keys()), want, err)
		}
	}
	later := changed.Add(time.Hour)
	knows("up.example", network.Friend, 0)
	knows("gone.example", network.Left, 2)
	left("lately", changed.Add(-time.Hour), 3)
	knows("down.example", network.Friend, 1)
	knows("downer.example", network.Friend, 2)
	left("a friend has the oldest on record", later, 3)
	knows("downer.example", network.Friend, 0)
	left("a friend has the one before on record", later, 2)
	knows("down.example", network.Friend, 0)
	left("every friend knows the newest", later, 1)
	if p.keys()[0] != keys[0] {
		t.Error("it is another one")
	}
}
