package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"kinopod/shared/announce"
)

// peer is one connection and its one membership.
type peer struct {
	load     *load
	nc       net.Conn
	in       frames
	hash, id []byte // as JSON
	response chan struct{}

	mu        sync.Mutex // held around writes
	announce  []byte     // guarded by mu: the message
	stamps    []int      // guarded by mu: where in it times go
	out       []byte     // guarded by mu
	announced atomic.Int64
}

// dial connects peer i. It reads little at a time: the machine holds its buffers
// beside the tracker's.
func (l *load) dial(i int) (*peer, error) {
	d := ws.Dialer{Timeout: 20 * time.Second, ReadBufferSize: 1024, WriteBufferSize: 1024}
	if l.sources > 0 {
		n := i % l.sources
		nd := net.Dialer{Timeout: d.Timeout, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/250), byte(1+n%250))}}
		d.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return nd.DialContext(ctx, network, addr)
		}
	}
	nc, early, _, err := d.Dial(context.Background(), l.url)
	if err != nil {
		return nil, err
	}
	if early != nil {
		ws.PutReader(early)
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // nothing of this run waits while the next one begins
	}
	id := announce.ID{}
	l.random.Read(id[copy(id[:], "-TL0001-"):])
	return &peer{
		load: l, nc: nc, in: frames{r: nc, buf: make([]byte, 2048)},
		hash: l.hashes[l.pick()].AppendJSON(nil), id: id.AppendJSON(nil), response: make(chan struct{}, 1),
	}, nil
}

// stampSize is the length of a time in an offer's id, which is "T", the time, and 3
// digits.
const stampSize = 16

// prepare makes the announce that send sends.
func (p *peer) prepare(i int, event string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := fmt.Appendf(nil, `{"numwant":%d,"uploaded":0,"downloaded":0,"left":%d,`, p.load.offers, i%4*1000)
	if event != "" {
		b = fmt.Appendf(b, `"event":%q,`, event)
	}
	b = append(append(append(append(b, `"action":"announce","info_hash":`...), p.hash...), `,"peer_id":`...), p.id...)
	b, p.stamps = append(b, `,"offers":[`...), nil
	for i := range p.load.offers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"offer":`...), p.load.offerJSON...), `,"offer_id":"T`...)
		p.stamps = append(p.stamps, len(b))
		b = fmt.Appendf(b, `%0*x%03d"}`, stampSize, 0, i)
	}
	p.announce = append(b, "]}"...)
}

// send announces.
func (p *peer) send() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.load.now()
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(now))
	for _, at := range p.stamps {
		hex.Encode(p.announce[at:], stamp[:])
	}
	p.announced.Store(int64(now))
	return p.write(ws.OpText, p.announce)
}

// write sends a frame; p.mu is held.
func (p *peer) write(op ws.OpCode, payload []byte) error {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	var head bytes.Buffer
	_ = ws.WriteHeader(&head, ws.Header{Fin: true, OpCode: op, Masked: true, Mask: mask, Length: int64(len(payload))})
	p.out = append(append(p.out[:0], head.Bytes()...), payload...)
	ws.Cipher(p.out[head.Len():], mask, 0)
	_, err := p.nc.Write(p.out)
	return err
}

// read takes what the tracker sends, until the connection ends.
func (p *peer) read() {
	defer close(p.response)
	for {
		h, b, err := p.in.next()
		if err == nil && h.OpCode == ws.OpClose {
			err = fmt.Errorf("closed: %q", b)
		}
		if err != nil {
			p.load.fail("read", err)
			return
		}
		switch {
		case h.OpCode == ws.OpPing:
			p.mu.Lock()
			_ = p.write(ws.OpPong, b)
			p.mu.Unlock()
		case h.OpCode == ws.OpText:
			p.take(b)
		}
	}
}

// take acts on a message. It looks for what trackers write and does not parse: the
// generator shares the machine with the tracker.
func (p *peer) take(b []byte) {
	l := p.load
	measuring := l.measuring.Load()
	switch {
	case bytes.Contains(b, []byte(`"offer":`)):
		id := value(b, `"offer_id":`)
		if measuring {
			l.relayed.Add(1)
			var stamp [8]byte
			if len(id) > 2+stampSize {
				if _, err := hex.Decode(stamp[:], id[2:2+stampSize]); err == nil {
					l.way.add(l.now() - time.Duration(binary.BigEndian.Uint64(stamp[:])))
				}
			}
		}
		from := value(b, `"peer_id":`)
		p.mu.Lock()
		defer p.mu.Unlock()
		a := append(append(append(append([]byte(nil), `{"action":"announce","info_hash":`...), p.hash...), `,"peer_id":`...), p.id...)
		a = append(append(append(append(a, `,"to_peer_id":`...), from...), `,"answer":`...), l.answerJSON...)
		_ = p.write(ws.OpText, append(append(append(a, `,"offer_id":`...), id...), '}')) // read finds that it failed
	case bytes.Contains(b, []byte(`"answer":`)):
		if measuring {
			l.replies.Add(1)
		}
	default:
		if bytes.Contains(b, []byte(`"failure reason"`)) {
			if l.failures.Add(1) == 1 {
				fmt.Printf("failure: %s\n", b)
			}
		} else if measuring {
			l.answered.Add(1)
			l.counters.response.add(l.now() - time.Duration(p.announced.Load()))
		}
		select {
		case p.response <- struct{}{}:
		default:
		}
	}
}

// value is the JSON string that follows a key.
func value(b []byte, key string) []byte {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return nil
	}
	b = b[i+len(key):]
	for j := 1; j < len(b); j++ {
		switch b[j] {
		case '\\':
			j++
		case '"':
			return b[:j+1]
		}
	}
	return nil
}

// frames reads a tracker's frames.
type frames struct {
	r        io.Reader
	buf      []byte
	from, to int // what is in buf
}

// next gives a frame; the payload lives until the next call.
func (f *frames) next() (h ws.Header, payload []byte, err error) {
	for need := 2; ; {
		have := f.buf[f.from:f.to]
		if len(have) >= need {
			rd := bytes.NewReader(have)
			if h, err = ws.ReadHeader(rd); err == nil {
				size := len(have) - rd.Len()
				if h.Masked || h.Length > 1<<20 {
					return h, nil, errors.New("not a frame of a tracker")
				}
				if need = size + int(h.Length); len(have) >= need {
					f.from += need
					return h, have[size:need], nil
				}
			} else if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return h, nil, err
			}
		}
		if err := f.fill(need); err != nil {
			return h, nil, err
		}
	}
}

// fill reads more, into a buffer of at least need bytes.
func (f *frames) fill(need int) error {
	if f.from > 0 {
		f.to = copy(f.buf, f.buf[f.from:f.to])
		f.from = 0
	}
	if need > len(f.buf) || f.to == len(f.buf) {
		f.buf = append(make([]byte, 0, 2*need), f.buf[:f.to]...)
		f.buf = f.buf[:cap(f.buf)]
	}
	n, err := f.r.Read(f.buf[f.to:])
	f.to += n
	if n > 0 {
		return nil
	}
	return err
}

// description makes the JSON of an offer or answer of a browser's data channel, of
// about n bytes of SDP.
func description(kind string, n int) []byte {
	const head = "v=0\r\no=- 5354933112876178900 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 47688 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 192.0.2.2\r\n"
	tail := "a=ice-ufrag:HSA8\r\na=ice-pwd:yJMlKmQQnk1s0rpywwku+uv7\r\na=fingerprint:sha-256 EB:0F:3E:CD:7C:70:58:2A:84:60:FD:AE:6F:02:8F:50:8E:C3:70:25:BD:77:D3:E6:4F:3B:BD:1B:88:72:B1:DA\r\na=setup:" +
		map[string]string{"offer": "actpass", "answer": "active"}[kind] + "\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n"
	var sdp strings.Builder
	sdp.WriteString(head)
	for i := 0; sdp.Len()+len(tail) < n; i++ {
		fmt.Fprintf(&sdp, "a=candidate:30779528%02d 1 udp 2122265343 192.0.2.%d 4%04d typ host generation 0 network-id 2\r\n", i%100, i%250+1, i)
	}
	sdp.WriteString(tail)
	b, _ := json.Marshal(announce.Description{Type: kind, SDP: sdp.String()}) // two strings
	return b
}
