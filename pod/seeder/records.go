package seeder

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/dtls/v2/pkg/crypto/prf"
)

// secureConn is what SCTP speaks over: DTLS 1.2 (RFC 6347) with AES-128-GCM (RFC 5288).
// pion shakes hands, and answers a browser that asks for the end of the handshake again;
// what carries data is sealed and opened here, in buffers that are used again. pion
// starts a goroutine for each record and allocates several times
// (go run ./build/bench seeder -only webrtc).
type secureConn struct {
	below     *handshakeConn
	handshake *dtls.Conn
	lanes     *lanes

	incoming chan *record  // opened, to be read
	closed   chan struct{} // closed by shut
	once     sync.Once

	writing sync.Mutex
	seal    sealer

	opening sync.Mutex
	open    opener

	moving sync.Mutex
	from   netip.AddrPort // whose lane is ours; zero is none
}

// Of a record: type, version, epoch and sequence number, length; then the nonce's part
// that is sent, what is sealed, and the tag.
const (
	recordHeader    = 13
	recordNonce     = 8
	recordTag       = 16
	recordOverhead  = recordHeader + recordNonce + recordTag
	recordEpoch     = 1       // of the keys; nobody negotiates a second time
	recordAlert     = 21      // types
	recordData      = 23      //
	recordVersion   = 0xfefd  // DTLS 1.2
	recordRoom      = 16      // sequence numbers left to pion, which may have to send the end of the handshake again
	recordBuffer    = 2 << 10 // bytes; SCTP's packets have at most 1,228, those of browsers 1,200
	maxEarlyRecords = 16      // that are kept until the keys are there
	maxIncoming     = 128     // that wait for SCTP; more are lost, as datagrams may be
	alertWarning    = 1
	alertClose      = 0 // close_notify
)

// record is one, with what is needed to seal or open it.
type record struct {
	b     []byte
	nonce [12]byte
	aad   [13]byte
}

var records = sync.Pool{New: func() any { return &record{b: make([]byte, 0, recordBuffer)} }}

func putRecord(r *record) {
	r.b = r.b[:0]
	records.Put(r)
}

// handshakeConn is what pion shakes hands over. What is sent with the keys, data and
// alerts, is not shown to it.
type handshakeConn struct {
	net.Conn
	up atomic.Pointer[secureConn]

	mu    sync.Mutex
	early [][]byte // records with data that came before the keys were there
}

// secured takes over from a handshake that has ended.
func secured(below *handshakeConn, handshake *dtls.Conn, l *lanes) (*secureConn, error) {
	// What is in a connection's state comes out as what Resume would take.
	var state struct {
		LocalRandom, RemoteRandom [32]byte
		CipherSuiteID             uint16
		MasterSecret              []byte
		SequenceNumber            uint64
		IsClient                  bool
	}
	all := handshake.ConnectionState()
	b, err := all.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&state); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	if id := dtls.CipherSuiteID(state.CipherSuiteID); id != cipherSuite {
		return nil, fmt.Errorf("agreed on %s", dtls.CipherSuiteName(id))
	}
	client, server := state.LocalRandom, state.RemoteRandom
	if !state.IsClient {
		client, server = server, client
	}
	keys, err := prf.GenerateEncryptionKeys(state.MasterSecret, client[:], server[:], 0, 16, 4, sha256.New)
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	c := &secureConn{below: below, handshake: handshake, lanes: l, incoming: make(chan *record, maxIncoming), closed: make(chan struct{})}
	clients, err := newGCM(keys.ClientWriteKey)
	if err != nil {
		return nil, err
	}
	servers, err := newGCM(keys.ServerWriteKey)
	if err != nil {
		return nil, err
	}
	if state.IsClient {
		c.seal, c.open = sealer{clients, [4]byte(keys.ClientWriteIV), 0}, opener{gcm: servers, iv: [4]byte(keys.ServerWriteIV)}
	} else {
		c.seal, c.open = sealer{servers, [4]byte(keys.ServerWriteIV), 0}, opener{gcm: clients, iv: [4]byte(keys.ClientWriteIV)}
	}
	c.seal.next = state.SequenceNumber + recordRoom

	below.mu.Lock()
	early := below.early
	below.early = nil
	below.up.Store(c)
	below.mu.Unlock()
	for _, e := range early {
		c.deliver(e)
	}
	c.move()
	return c, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Read gives pion the next datagram of the handshake, without records that are not part
// of it. Its caller is the one who reads from below, as long as the connection lives.
func (h *handshakeConn) Read(b []byte) (int, error) {
	for {
		n, err := h.Conn.Read(b)
		if err != nil {
			if c := h.up.Load(); c != nil {
				c.shut()
			}
			return n, err
		}
		n = h.take(b[:n])
		if c := h.up.Load(); c != nil {
			c.move() // what came here did not come by the lane
		}
		if n > 0 {
			return n, nil
		}
	}
}

// take hands up what is not of the handshake and leaves the rest, whose length it says.
func (h *handshakeConn) take(b []byte) int {
	kept := 0
	for rest := b; len(rest) > 0; {
		size := recordSize(rest)
		if size == 0 {
			break // nor is the rest of a datagram to be trusted
		}
		r := rest[:size]
		rest = rest[size:]
		if r[0] != recordData && (r[0] != recordAlert || h.up.Load() == nil) {
			kept += copy(b[kept:], r)
			continue
		}
		h.hand(r)
	}
	return kept
}

// hand hands a record up, or keeps it until somebody is there.
func (h *handshakeConn) hand(r []byte) {
	c := h.up.Load()
	if c == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if c = h.up.Load(); c == nil {
			if len(h.early) < maxEarlyRecords {
				h.early = append(h.early, bytes.Clone(r))
			}
			return
		}
	}
	c.deliver(r)
}

// recordSize is how long the first record of b is; 0 is that there is none.
func recordSize(b []byte) int {
	if len(b) < recordHeader {
		return 0
	}
	if n := recordHeader + int(binary.BigEndian.Uint16(b[11:])); n <= len(b) {
		return n
	}
	return 0
}

// Write sends what pion has for the handshake. Once the connection is shut that is its
// close_notify, whose number is behind ours.
func (h *handshakeConn) Write(b []byte) (int, error) {
	if c := h.up.Load(); c != nil {
		select {
		case <-c.closed:
			return len(b), nil
		default:
		}
	}
	return h.Conn.Write(b)
}

// deliver opens a record and has it read; it never waits. What cannot be opened is as if it had not come
// (RFC 6347, 4.1.2.7).
func (c *secureConn) deliver(b []byte) {
	kind := b[0]
	r, _ := records.Get().(*record)
	c.opening.Lock()
	ok := c.open.open(r, b)
	c.opening.Unlock()
	switch {
	case !ok:
	case kind == recordData:
		select {
		case c.incoming <- r:
			return
		default: // lost
		}
	case len(r.b) == 2 && (r.b[0] != alertWarning || r.b[1] == alertClose):
		c.shut()
	}
	putRecord(r)
}

// Read gives one SCTP packet.
func (c *secureConn) Read(b []byte) (int, error) {
	select {
	case r := <-c.incoming:
		defer putRecord(r)
		if len(b) < len(r.b) {
			return 0, io.ErrShortBuffer
		}
		return copy(b, r.b), nil
	case <-c.closed:
		return 0, io.EOF
	}
}

// Write sends one SCTP packet.
func (c *secureConn) Write(b []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	return len(b), c.send(recordData, b)
}

func (c *secureConn) send(kind byte, b []byte) error {
	r, _ := records.Get().(*record)
	defer putRecord(r)
	c.writing.Lock()
	defer c.writing.Unlock()
	c.seal.seal(r, kind, b)
	_, err := c.below.Conn.Write(r.b)
	return err
}

// shut ends reading and writing.
func (c *secureConn) shut() {
	c.once.Do(func() { close(c.closed) })
	c.moving.Lock()
	defer c.moving.Unlock()
	c.lanes.remove(c.from, c)
}

// move makes the lane of the address that the browser sends from now ours. Over TCP there
// is none.
func (c *secureConn) move() {
	var from netip.AddrPort
	if a, ok := c.below.RemoteAddr().(*net.UDPAddr); ok {
		from = unmapped(a.AddrPort())
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	select {
	case <-c.closed:
		return
	default:
	}
	if from != c.from {
		c.lanes.remove(c.from, c)
		c.lanes.add(from, c)
		c.from = from
	}
}

// Close says farewell, and closes what is below.
func (c *secureConn) Close() error {
	_ = c.send(recordAlert, []byte{alertWarning, alertClose})
	c.shut()
	return c.handshake.Close()
}

func (c *secureConn) LocalAddr() net.Addr  { return c.below.LocalAddr() }
func (c *secureConn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }

// SetDeadline and the others are for net.Conn: SCTP sets none.
func (c *secureConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *secureConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *secureConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// sealer makes records.
type sealer struct {
	gcm  cipher.AEAD
	iv   [4]byte
	next uint64 // sequence number
}

// seal puts b into r. The nonce is the sequence number, which no two records share.
func (s *sealer) seal(r *record, kind byte, b []byte) {
	number := uint64(recordEpoch)<<48 | s.next
	s.next++
	copy(r.nonce[:], s.iv[:])
	binary.BigEndian.PutUint64(r.nonce[4:], number)
	r.authenticate(number, kind, len(b))
	r.b = append(r.b[:0], kind, recordVersion>>8, recordVersion&0xff)
	r.b = binary.BigEndian.AppendUint64(r.b, number)
	r.b = binary.BigEndian.AppendUint16(r.b, uint16(recordNonce+len(b)+recordTag))
	r.b = append(r.b, r.nonce[4:]...)
	r.b = s.gcm.Seal(r.b, r.nonce[:], b, r.aad[:])
}

// authenticate sets what is sealed with a record's content of n bytes, but sent in the clear.
func (r *record) authenticate(number uint64, kind byte, n int) {
	binary.BigEndian.PutUint64(r.aad[:], number)
	r.aad[8], r.aad[9], r.aad[10] = kind, recordVersion>>8, recordVersion&0xff
	binary.BigEndian.PutUint16(r.aad[11:], uint16(n))
}

// opener opens records, each once.
type opener struct {
	gcm  cipher.AEAD
	iv   [4]byte
	top  uint64 // the highest sequence number that was opened, plus 1
	seen uint64 // bit n: top-1-n was opened (RFC 6347, 4.1.2.6)
}

// open puts the content of the record b into r.
func (o *opener) open(r *record, b []byte) bool {
	n := len(b) - recordOverhead
	if n < 0 || n > cap(r.b) {
		return false
	}
	number := binary.BigEndian.Uint64(b[3:])
	sequence := number & (1<<48 - 1)
	if number>>48 != recordEpoch || o.had(sequence) {
		return false
	}
	copy(r.nonce[:], o.iv[:])
	copy(r.nonce[4:], b[recordHeader:])
	r.authenticate(number, b[0], n)
	opened, err := o.gcm.Open(r.b[:0], r.nonce[:], b[recordHeader+recordNonce:], r.aad[:])
	if err != nil {
		return false
	}
	r.b = opened
	o.mark(sequence)
	return true
}

// had says whether a number was opened, or is too old to know.
func (o *opener) had(sequence uint64) bool {
	if sequence >= o.top {
		return false
	}
	behind := o.top - 1 - sequence
	return behind >= 64 || o.seen>>behind&1 == 1
}

func (o *opener) mark(sequence uint64) {
	if sequence >= o.top {
		o.seen = o.seen<<(sequence+1-o.top) | 1 // a shift by 64 or more leaves nothing
		o.top = sequence + 1
		return
	}
	o.seen |= 1 << (o.top - 1 - sequence)
}

// lanes are connections by the address that their browser sends from: what comes from
// there goes to them without a way through ICE, which is four goroutines long.
type lanes struct {
	mu sync.RWMutex
	to map[netip.AddrPort]*secureConn
}

// add gives c the datagrams of an address. A browser has an address for itself; a newer
// connection from there is the one that it uses.
func (l *lanes) add(from netip.AddrPort, c *secureConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from.IsValid() {
		l.to[from] = c
	}
}

func (l *lanes) remove(from netip.AddrPort, c *secureConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to[from] == c {
		delete(l.to, from)
	}
}

// unmapped is an address in the form that lanes know it by.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// take is true where the datagram was of somebody's lane.
func (l *lanes) take(b []byte, from netip.AddrPort) bool {
	if len(b) == 0 || b[0] != recordData {
		return false
	}
	l.mu.RLock()
	c := l.to[unmapped(from)]
	l.mu.RUnlock()
	if c == nil {
		return false
	}
	c.below.take(b)
	return true
}

var _ net.Conn = (*secureConn)(nil)
