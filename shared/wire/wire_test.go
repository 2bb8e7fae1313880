package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

var everyKind = []Message{
	{Kind: KeepAlive},
	{Kind: Choke},
	{Kind: Unchoke},
	{Kind: Interested},
	{Kind: NotInterested},
	{Kind: Have, Index: 7},
	{Kind: Bitfield, Data: []byte{0xf0, 1}},
	{Kind: Request, Index: 1, Begin: 2, Length: 3},
	{Kind: Piece, Index: 1, Begin: 16384, Data: []byte("block")},
	{Kind: Cancel, Index: 1, Begin: 2, Length: 3},
	{Kind: Port, Data: []byte{1, 2}},
	{Kind: Suggest, Index: 9},
	{Kind: HaveAll},
	{Kind: HaveNone},
	{Kind: Reject, Index: 4, Begin: 5, Length: 6},
	{Kind: AllowedFast, Index: 3},
	{Kind: Extended, Index: 2, Data: []byte("d1:ae")},
	{Kind: 99, Data: []byte("unknown")},
}

func stream() []byte {
	b := Handshake{InfoHash: [20]byte{1}, PeerID: PeerID{2}, Extension: true, Fast: true}.Append(nil)
	for _, m := range everyKind {
		b = m.Append(b)
	}
	return b
}

// collect feeds the parts and gives what came out.
func collect(parts ...[]byte) (hs []Handshake, ms []Message, err error) {
	var s Splitter
	for _, p := range parts {
		err = s.Feed(p, func(h Handshake) error { hs = append(hs, h); return nil }, func(m Message) error {
			m.Data = bytes.Clone(m.Data)
			ms = append(ms, m)
			return nil
		})
		if err != nil {
			return hs, ms, err
		}
	}
	return hs, ms, nil
}

func same(a, b Message) bool {
	return a.Kind == b.Kind && a.Index == b.Index && a.Begin == b.Begin && a.Length == b.Length && bytes.Equal(a.Data, b.Data)
}

func TestStreamInPartsOfAnyLength(t *testing.T) {
	whole := stream()
	for try := range 200 {
		var parts [][]byte
		for rest := bytes.Clone(whole); len(rest) > 0; {
			n := 1
			if try > 0 {
				n = 1 + rand.IntN(min(len(rest), 1+try))
			}
			parts = append(parts, rest[:n])
			rest = rest[n:]
		}
		hs, ms, err := collect(parts...)
		if err != nil || len(hs) != 1 || !hs[0].Fast || !hs[0].Extension || hs[0].PeerID != (PeerID{2}) || len(ms) != len(everyKind) {
			t.Fatalf("%d parts: %v, %d messages, %v", len(parts), hs, len(ms), err)
		}
		for i := range ms {
			if !same(ms[i], everyKind[i]) {
				t.Fatalf("%d parts: %+v, want %+v", len(parts), ms[i], everyKind[i])
			}
		}
	}
}

// The same bytes as anacrolix/torrent writes.
func TestAgreesWithAnacrolix(t *testing.T) {
	for _, c := range []struct {
		ours   Message
		theirs pp.Message
	}{
		{Message{Kind: HaveAll}, pp.Message{Type: pp.HaveAll}},
		{Message{Kind: Have, Index: 5}, pp.Message{Type: pp.Have, Index: 5}},
		{Message{Kind: Request, Index: 5, Begin: 6, Length: 7}, pp.Message{Type: pp.Request, Index: 5, Begin: 6, Length: 7}},
		{Message{Kind: Reject, Index: 5, Begin: 6, Length: 7}, pp.Message{Type: pp.Reject, Index: 5, Begin: 6, Length: 7}},
		{Message{Kind: Piece, Index: 5, Begin: 6, Data: []byte("x")}, pp.Message{Type: pp.Piece, Index: 5, Begin: 6, Piece: []byte("x")}},
		{Message{Kind: Bitfield, Data: []byte{0xa0}}, pp.Message{Type: pp.Bitfield, Bitfield: []bool{true, false, true}}},
		{Message{Kind: Extended, Index: 3, Data: []byte("de")}, pp.Message{Type: pp.Extended, ExtendedID: 3, ExtendedPayload: []byte("de")}},
	} {
		if got, want := c.ours.Append(nil), c.theirs.MustMarshalBinary(); !bytes.Equal(got, want) {
			t.Errorf("%+v: % x, anacrolix/torrent writes % x", c.ours, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	hs := Handshake{}.Append(nil)
	for what, b := range map[string][]byte{
		"not BitTorrent":        []byte("GET / HTTP/1.1\r\n"),
		"too long":              append(bytes.Clone(hs), 0, 1, 4, 1),
		"choke with a payload":  append(bytes.Clone(hs), 0, 0, 0, 2, 0, 0),
		"request cut short":     append(bytes.Clone(hs), 0, 0, 0, 2, 6, 0),
		"piece without a begin": append(bytes.Clone(hs), 0, 0, 0, 5, 7, 0, 0, 0, 0),
		"block over 64 KiB":     append(append(bytes.Clone(hs), AppendPieceHeader(nil, 0, 0, LongBlock+1)...), make([]byte, LongBlock+1)...),
		"extended without id":   append(bytes.Clone(hs), 0, 0, 0, 1, 20),
		"id 255":                append(bytes.Clone(hs), 0, 0, 0, 1, 255),
	} {
		if _, ms, err := collect(b); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v, %v", what, ms, err)
		}
	}
}

func TestBits(t *testing.T) {
	b := NewBits(10)
	b.Set(0)
	b.Set(9)
	b.Set(16)
	b.Set(-1)
	if !b.Has(0) || !b.Has(9) || b.Has(1) || b.Has(16) || b.Has(-1) || b.Count() != 2 || !bytes.Equal(b, []byte{0x80, 0x40}) {
		t.Errorf("% x", b)
	}
	if got, err := ParseBits(b, 10); err != nil || !reflect.DeepEqual(got, b) {
		t.Error(got, err)
	}
	if b.Clear(9); b.Has(9) {
		t.Error("9 is not cleared")
	}
	for _, bad := range [][]byte{{0x80}, {0x80, 0x20}, {0, 0, 0}} {
		if _, err := ParseBits(bad, 10); err == nil {
			t.Errorf("% x is taken", bad)
		}
	}
}

func TestExtensions(t *testing.T) {
	h := ExtensionHandshake{Extensions: map[string]int{Metadata: MetadataID}, Client: "Kinopod", RequestQueue: RequestQueue, MetadataSize: 40000}
	got, err := ParseExtensionHandshake(h.Message().Data)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%+v, %v", got, err)
	}
	info := make([]byte, 40000)
	piece, ok := MetadataPieceOf(info, 2)
	if !ok || len(piece) != 40000-2*MetadataPiece {
		t.Errorf("%d, %v", len(piece), ok)
	}
	if _, ok := MetadataPieceOf(info, 3); ok {
		t.Error("a piece past the end")
	}
	m := MetadataMessage{Kind: MetadataData, Piece: 2, TotalSize: 40000, Data: piece}
	back, err := ParseMetadata(m.Message(3).Data)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("%+v, %v", back.Kind, err)
	}
	for _, bad := range []string{"", "x", "d8:msg_typei9e5:piecei0ee", "d8:msg_typei0e5:piecei-1ee", "d8:msg_typei0e5:piecei999999ee"} {
		if m, err := ParseMetadata([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add(stream(), 1)
	f.Add(stream(), 50)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			cut = len(b) / 2
		}
		_, one, err1 := collect(bytes.Clone(b))
		_, two, err2 := collect(bytes.Clone(b[:cut]), bytes.Clone(b[cut:]))
		if (err1 == nil) != (err2 == nil) || len(one) != len(two) {
			t.Fatalf("in one part %d messages, %v; in two %d, %v", len(one), err1, len(two), err2)
		}
		for i, m := range one {
			if !same(m, two[i]) {
				t.Fatalf("%+v and %+v", m, two[i])
			}
			again, err := Parse(m.Append(nil)[4:])
			if err != nil || !same(again, m) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
			if m.Kind == Extended {
				_, _ = ParseExtensionHandshake(m.Data)
				_, _ = ParseMetadata(m.Data)
			}
		}
	})
}
