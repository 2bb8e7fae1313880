package upload

import (
	"context"
	"encoding/json"
	"strings"
	"syscall/js"
	"time"
)

// Memory keeps what is known of unfinished uploads from one page to the next, by
// fingerprint: in localStorage. Where the browser has none (a private window may
// refuse it) nothing is kept, and the pod's list of uploads has to serve.
type Memory struct {
	storage js.Value
}

const storagePrefix = "kinopod.upload."

// recordLife is how long a record is kept: longer than any pod keeps an upload.
const recordLife = 30 * 24 * time.Hour

// NewMemory opens the browser's storage and drops what is too old to be of use.
func NewMemory() *Memory {
	m := &Memory{storage: localStorage()}
	m.prune(time.Now())
	return m
}

// localStorage is null where the browser refuses it, which it does by a throw.
func localStorage() (v js.Value) {
	defer func() {
		if recover() != nil {
			v = js.Null()
		}
	}()
	return js.Global().Get("localStorage")
}

func (m *Memory) get(fingerprint string) (record, bool) {
	return m.read(storagePrefix + fingerprint)
}

func (m *Memory) read(key string) (record, bool) {
	var r record
	if !m.storage.Truthy() {
		return r, false
	}
	v := m.storage.Call("getItem", key)
	if v.Type() != js.TypeString || json.Unmarshal([]byte(v.String()), &r) != nil {
		return record{}, false
	}
	return r, true
}

func (m *Memory) put(fingerprint string, r record) {
	if !m.storage.Truthy() {
		return
	}
	b, err := json.Marshal(r)
	if err != nil {
		return // a record always encodes
	}
	defer func() { _ = recover() }() // setItem throws where the storage is full
	m.storage.Call("setItem", storagePrefix+fingerprint, string(b))
}

func (m *Memory) forget(fingerprint string) {
	if m.storage.Truthy() {
		m.storage.Call("removeItem", storagePrefix+fingerprint)
	}
}

func (m *Memory) prune(now time.Time) {
	if !m.storage.Truthy() {
		return
	}
	for i := m.storage.Length() - 1; i >= 0; i-- {
		key := m.storage.Call("key", i).String()
		if !strings.HasPrefix(key, storagePrefix) {
			continue
		}
		if r, ok := m.read(key); !ok || now.Sub(r.At) > recordLife {
			m.storage.Call("removeItem", key)
		}
	}
}

// hold takes the sole right to send the file of this fingerprint; ok is false
// where another tab has it. It is a Web Lock, which the browser frees when the tab
// ends; where there are none (plain http) everybody may.
func (m *Memory) hold(ctx context.Context, fingerprint string) (release func(), ok bool) {
	locks := js.Global().Get("navigator").Get("locks")
	if !locks.Truthy() {
		return func() {}, true
	}
	granted := make(chan bool, 1)
	var letGo js.Value // resolves the promise that holds the lock
	executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
		letGo = args[0]
		return nil
	})
	callback := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if args[0].IsNull() {
			granted <- false
			return nil
		}
		held := js.Global().Get("Promise").New(executor)
		granted <- true
		return held
	})
	defer executor.Release()
	defer callback.Release()
	options := map[string]any{"ifAvailable": true}
	locks.Call("request", storagePrefix+fingerprint, options, callback)
	select {
	case ok := <-granted: // the browser calls back soon
		return func() { letGo.Invoke() }, ok
	case <-ctx.Done():
		return nil, false
	}
}
