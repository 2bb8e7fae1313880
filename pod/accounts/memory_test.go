package accounts_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"kinopod/pod/accounts"
	"kinopod/pod/accounts/accountstest"
	"kinopod/shared/api"
	"kinopod/shared/video"
)

// memory is a Store for the tests of the rules.
type memory struct {
	mu       sync.Mutex
	users    map[string]accounts.User
	setup    accounts.TokenHash
	invites  map[accounts.TokenHash]time.Time
	sessions map[accounts.TokenHash]accounts.Session
	booked   map[string]map[video.ID]accounts.Reservation
	profiles map[string]video.Profile
	fail     error // what every method answers, if not nil
}

var _ accounts.Store = (*memory)(nil)

func newMemory() *memory {
	return &memory{
		profiles: map[string]video.Profile{},
		users:    map[string]accounts.User{}, invites: map[accounts.TokenHash]time.Time{},
		sessions: map[accounts.TokenHash]accounts.Session{}, booked: map[string]map[video.ID]accounts.Reservation{},
	}
}

func TestMemoryIsAStore(t *testing.T) {
	accountstest.TestStore(t, func(testing.TB) accounts.Store { return newMemory() })
}

func (m *memory) lock() func() { m.mu.Lock(); return m.mu.Unlock }

func (m *memory) CountUsers(context.Context) (int, error) {
	defer m.lock()()
	return len(m.users), m.fail
}

func (m *memory) Usernames(context.Context) ([]string, error) {
	defer m.lock()()
	return slices.Collect(maps.Keys(m.users)), m.fail
}

func (m *memory) User(_ context.Context, name string) (accounts.User, error) {
	defer m.lock()()
	u, ok := m.users[accounts.Fold(name)]
	if !ok && m.fail == nil {
		return u, accounts.ErrNotFound
	}
	return u, m.fail
}

func (m *memory) CreateUser(_ context.Context, u accounts.User, g accounts.Grant) error {
	defer m.lock()()
	if m.fail != nil {
		return m.fail
	}
	if !m.valid(g) {
		return accounts.ErrGrant
	}
	if _, ok := m.users[accounts.Fold(u.Name)]; ok {
		return accounts.ErrTaken
	}
	m.users[accounts.Fold(u.Name)] = u
	m.setup = accounts.TokenHash{}
	if g.Kind == accounts.GrantInvite {
		delete(m.invites, g.Token)
	}
	return nil
}

func (m *memory) valid(g accounts.Grant) bool {
	switch g.Kind {
	case accounts.GrantSetup:
		return g.Token == m.setup && m.setup != accounts.TokenHash{}
	case accounts.GrantInvite:
		return time.Now().Before(m.invites[g.Token])
	}
	return true
}

func (m *memory) SetPassword(_ context.Context, name string, old, hash accounts.PasswordHash, keep accounts.TokenHash) error {
	defer m.lock()()
	u, ok := m.users[accounts.Fold(name)]
	if !ok {
		return accounts.ErrNotFound
	}
	if old != "" && u.Password != old {
		return accounts.ErrChanged
	}
	u.Password = hash
	m.users[accounts.Fold(name)] = u
	maps.DeleteFunc(m.sessions, func(id accounts.TokenHash, s accounts.Session) bool { return s.User == u.Name && id != keep })
	return m.fail
}

func (m *memory) SetRole(_ context.Context, name string, role api.Role) error {
	defer m.lock()()
	u, ok := m.users[accounts.Fold(name)]
	if !ok {
		return accounts.ErrNotFound
	}
	if role != api.RoleAdmin && m.lastAdmin(name) {
		return accounts.ErrLastAdmin
	}
	u.Role = role
	m.users[accounts.Fold(name)] = u
	return m.fail
}

func (m *memory) lastAdmin(name string) bool {
	for other, u := range m.users {
		if u.Role == api.RoleAdmin && other != accounts.Fold(name) {
			return false
		}
	}
	return m.users[accounts.Fold(name)].Role == api.RoleAdmin
}

func (m *memory) RemoveUser(_ context.Context, name string) error {
	defer m.lock()()
	name = accounts.Fold(name)
	switch _, ok := m.users[name]; {
	case !ok:
		return accounts.ErrNotFound
	case m.lastAdmin(name):
		return accounts.ErrLastAdmin
	case len(m.booked[name]) > 0:
		return accounts.ErrBooked
	}
	maps.DeleteFunc(m.sessions, func(_ accounts.TokenHash, s accounts.Session) bool { return accounts.Fold(s.User) == name })
	delete(m.users, name)
	delete(m.profiles, name)
	return m.fail
}

func (m *memory) PutSetup(_ context.Context, token accounts.TokenHash) error {
	defer m.lock()()
	if len(m.users) > 0 {
		return accounts.ErrTaken
	}
	m.setup = token
	return m.fail
}

func (m *memory) PutInvite(_ context.Context, token accounts.TokenHash, _ string, expires time.Time) error {
	defer m.lock()()
	m.invites[token] = expires
	return m.fail
}

func (m *memory) ValidGrant(_ context.Context, g accounts.Grant) (bool, error) {
	defer m.lock()()
	return m.valid(g), m.fail
}

func (m *memory) CreateSession(_ context.Context, s accounts.Session, password accounts.PasswordHash) error {
	defer m.lock()()
	if u, ok := m.users[accounts.Fold(s.User)]; !ok || u.Password != password {
		return accounts.ErrChanged
	}
	m.sessions[s.ID] = s
	all := m.of(s.User)
	slices.SortFunc(all, func(a, b accounts.Session) int { return a.Expires.Compare(b.Expires) })
	for _, old := range all[:max(0, len(all)-accounts.MaxSessions)] {
		delete(m.sessions, old.ID)
	}
	return m.fail
}

func (m *memory) of(name string) (all []accounts.Session) {
	for _, s := range m.sessions {
		if accounts.Fold(s.User) == accounts.Fold(name) && time.Now().Before(s.Expires) {
			all = append(all, s)
		}
	}
	return all
}

func (m *memory) Session(_ context.Context, id accounts.TokenHash) (accounts.Session, error) {
	defer m.lock()()
	s, ok := m.sessions[id]
	if !ok || !time.Now().Before(s.Expires) {
		return accounts.Session{}, accounts.ErrNotFound
	}
	return s, m.fail
}

func (m *memory) TouchSession(_ context.Context, s accounts.Session) error {
	defer m.lock()()
	if _, ok := m.sessions[s.ID]; ok {
		m.sessions[s.ID] = s
	}
	return m.fail
}

func (m *memory) Sessions(_ context.Context, name string) ([]accounts.Session, error) {
	defer m.lock()()
	return m.of(name), m.fail
}

func (m *memory) EndSession(_ context.Context, name string, id accounts.TokenHash) error {
	defer m.lock()()
	if s, ok := m.sessions[id]; !ok || accounts.Fold(s.User) != accounts.Fold(name) {
		return accounts.ErrNotFound
	}
	delete(m.sessions, id)
	return m.fail
}

func (m *memory) Reserve(_ context.Context, name string, r accounts.Reservation, limit int64) error {
	defer m.lock()()
	if _, ok := m.users[accounts.Fold(name)]; !ok && m.fail == nil {
		return accounts.ErrNotFound
	}
	booked := m.booked[accounts.Fold(name)]
	had, sum := booked[r.ID].Bytes, r.Bytes
	for id, other := range booked {
		if id != r.ID {
			sum += other.Bytes
		}
	}
	if limit > 0 && sum > limit && r.Bytes > had {
		return accounts.ErrQuota
	}
	if booked == nil {
		booked = map[video.ID]accounts.Reservation{}
		m.booked[accounts.Fold(name)] = booked
	}
	booked[r.ID] = r
	return m.fail
}

func (m *memory) Release(_ context.Context, name string, id video.ID) error {
	defer m.lock()()
	delete(m.booked[accounts.Fold(name)], id)
	return m.fail
}

func (m *memory) Used(_ context.Context, name string) (n int64, err error) {
	defer m.lock()()
	for _, r := range m.booked[accounts.Fold(name)] {
		n += r.Bytes
	}
	return n, m.fail
}

func (m *memory) Reservations(_ context.Context, name string) ([]accounts.Reservation, error) {
	defer m.lock()()
	return slices.Collect(maps.Values(m.booked[accounts.Fold(name)])), m.fail
}

func (m *memory) Profile(_ context.Context, name string) (video.Profile, error) {
	defer m.lock()()
	return m.profiles[accounts.Fold(name)], m.fail
}

func (m *memory) SetProfile(_ context.Context, name string, p video.Profile) error {
	defer m.lock()()
	if _, ok := m.users[accounts.Fold(name)]; !ok && m.fail == nil {
		return accounts.ErrNotFound
	}
	m.profiles[accounts.Fold(name)] = p
	return m.fail
}
