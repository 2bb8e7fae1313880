//go:build !js

package upload

import (
	"context"
	"sync"
)

// Memory keeps what is known of unfinished uploads from one page to the next, by
// fingerprint. This one lasts as long as the process.
type Memory struct {
	mu      sync.Mutex
	records map[string]record
	held    map[string]bool
}

// NewMemory is empty.
func NewMemory() *Memory {
	return &Memory{records: map[string]record{}, held: map[string]bool{}}
}

func (m *Memory) get(fingerprint string) (record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[fingerprint]
	return r, ok
}

func (m *Memory) put(fingerprint string, r record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[fingerprint] = r
}

func (m *Memory) forget(fingerprint string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, fingerprint)
}

// hold takes the sole right to send the file of this fingerprint; ok is false
// where somebody else has it.
func (m *Memory) hold(_ context.Context, fingerprint string) (release func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[fingerprint] {
		return nil, false
	}
	m.held[fingerprint] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.held, fingerprint)
	}, true
}
