package friends_test

import (
	"context"
	"sync"

	"kinopod/pod/friends"
	"kinopod/shared/network"
)

// memory is a Store for the tests of the rules.
type memory struct {
	mu   sync.Mutex
	all  map[network.Host]friends.Friend
	fail error  // what ChangeFriend answers, if not nil
	read func() // is called when the list was read, before it is answered
}

var _ friends.Store = (*memory)(nil)

func newMemory(all ...friends.Friend) *memory {
	m := &memory{all: map[network.Host]friends.Friend{}}
	for _, f := range all {
		m.all[f.Host] = f
	}
	return m
}

func (m *memory) Friends(context.Context) ([]friends.Friend, error) {
	m.mu.Lock()
	var out []friends.Friend
	for _, f := range m.all {
		out = append(out, f)
	}
	read := m.read
	m.mu.Unlock()
	if read != nil {
		read()
	}
	return out, nil
}

func (m *memory) ChangeFriend(_ context.Context, h network.Host, change func(*friends.Friend) error) (friends.Friend, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return friends.Friend{}, m.fail
	}
	var f friends.Friend
	for range 2 { // as where somebody else was faster: the last one counts
		f = friends.Friend{Host: h}
		if known, ok := m.all[h]; ok {
			f = known
		}
		if err := change(&f); err != nil {
			return f, err
		}
	}
	if f.State == "" {
		delete(m.all, h)
	} else {
		m.all[h] = f
	}
	return f, nil
}
