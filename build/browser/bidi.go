package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// bidi is a connection of WebDriver BiDi (W3C): commands by number, their results in
// any order, and events.
type bidi struct {
	conn    net.Conn
	onEvent func(method string, params json.RawMessage)
	ended   chan struct{} // closed by read

	mu      sync.Mutex // of writing too
	serial  int
	waiting map[int]chan<- answer // nil when read has ended
}

type answer struct {
	Type    string          `json:"type"`
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// dialBidi connects; onEvent must not wait for a command.
func dialBidi(ctx context.Context, url string, onEvent func(method string, params json.RawMessage)) (*bidi, error) {
	conn, buffered, _, err := ws.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	b := &bidi{conn: conn, onEvent: onEvent, ended: make(chan struct{}), waiting: map[int]chan<- answer{}}
	go b.read(buffered)
	return b, nil
}

// close ends the connection and what waits for it.
func (b *bidi) close() {
	_ = b.conn.Close()
	<-b.ended
}

func (b *bidi) read(buffered *bufio.Reader) {
	defer close(b.ended)
	var from io.ReadWriter = b.conn
	if buffered != nil { // it came with the handshake
		from = struct {
			io.Reader
			io.Writer
		}{io.MultiReader(io.LimitReader(buffered, int64(buffered.Buffered())), b.conn), b.conn}
	}
	for {
		raw, err := wsutil.ReadServerText(from)
		if err != nil {
			break
		}
		var a answer
		if err := json.Unmarshal(raw, &a); err != nil {
			break
		}
		if a.Type == "event" {
			b.onEvent(a.Method, a.Params)
			continue
		}
		b.mu.Lock()
		wait := b.waiting[a.ID]
		delete(b.waiting, a.ID)
		b.mu.Unlock()
		if wait != nil {
			wait <- a
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wait := range b.waiting {
		close(wait)
	}
	b.waiting = nil
}

var errEnded = errors.New("the connection to the browser has ended")

// call gives a command and waits for its result, which goes into result unless that is
// nil.
func (b *bidi) call(ctx context.Context, method string, params, result any) error {
	wait := make(chan answer, 1)
	if err := b.send(method, params, wait); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	case a, ok := <-wait:
		if !ok {
			return fmt.Errorf("%s: %w", method, errEnded)
		}
		if a.Type != "success" {
			return fmt.Errorf("%s: %s: %s", method, a.Error, a.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	}
}

func (b *bidi) send(method string, params any, wait chan<- answer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		return errEnded
	}
	b.serial++
	message, err := json.Marshal(map[string]any{"id": b.serial, "method": method, "params": params})
	if err != nil {
		return err
	}
	b.waiting[b.serial] = wait
	return wsutil.WriteClientText(b.conn, message)
}
