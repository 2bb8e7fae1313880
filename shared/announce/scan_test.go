package announce

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"kinopod/shared/magnet"
	"kinopod/shared/wire"
)

var limits = Limits{Offers: MaxOffers, Scrape: MaxScrape, SDP: MaxSDP}

func scan(t testing.TB, text string) (Request, error) {
	t.Helper()
	var r Request
	err := r.Scan([]byte(text), limits)
	if err != nil && !errors.Is(err, ErrInvalid) {
		t.Errorf("%s: %v does not wrap ErrInvalid", text, err)
	}
	return r, err
}

func id20(c string) string { return strings.Repeat(c, 20) }

func offerJSON(sdp string) string {
	return `{"offer":{"type":"offer","sdp":"` + sdp + `"},"offer_id":"` + id20("o") + `"}`
}

func TestScanReadsWhatClientsWrite(t *testing.T) {
	left := int64(0)
	in := Announce{InfoHash: magnet.InfoHash([]byte(id20("\xff"))), PeerID: wire.PeerID([]byte(id20("\"")))}
	in.Event, in.Left, in.NumWant = Started, &left, 5
	in.Offers = []Offer{{Offer: Description{Type: "offer", SDP: "v=0\r\n\u2028é"}, OfferID: OfferID([]byte(id20("\x00")))}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := scan(t, string(b))
	if err != nil {
		t.Fatal(err)
	}
	if r.Action != ActionAnnounce || r.InfoHashes[0] != in.InfoHash || r.PeerID != in.PeerID || r.Event != Started || !r.Seeder || r.NumWant != 5 {
		t.Errorf("%+v", r)
	}
	var d Description
	if len(r.Offers) != 1 || r.Offers[0].OfferID != in.Offers[0].OfferID || json.Unmarshal(r.Offers[0].Description, &d) != nil || d != in.Offers[0].Offer {
		t.Errorf("offers %+v", r.Offers)
	}

	answer := Answer{InfoHash: in.InfoHash, PeerID: in.PeerID, ToPeerID: wire.PeerID([]byte(id20("b"))), OfferID: OfferID([]byte(id20("\\"))), Answer: Description{"answer", "v=0"}}
	if b, err = json.Marshal(answer); err != nil {
		t.Fatal(err)
	}
	r, err = scan(t, string(b))
	if err != nil || !r.IsAnswer || r.ToPeerID != answer.ToPeerID || r.Answer.OfferID != answer.OfferID || string(r.Answer.Description) != `{"type":"answer","sdp":"v=0"}` {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestScanSaysWhatIsWrong(t *testing.T) {
	hash := `"info_hash":"` + id20("h") + `"`
	peer := `"peer_id":"` + id20("p") + `"`
	for _, c := range []struct{ text, want string }{
		{``, "object"},
		{`null`, "object"},
		{`[]`, "object"},
		{`{`, "syntax"},
		{`{"action":"announce",` + hash + `,` + peer + `}x`, "syntax"},
		{`{"action":"announce",` + hash + `,` + peer + `,"x":01}`, "syntax"},
		{`{"action":"announce",` + hash + `,` + peer + `,"x":"` + "\n" + `"}`, "syntax"},
		{`{"action":"announce",` + hash + `,` + peer + `,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "deeper"},
		{`{` + hash + `,` + peer + `}`, "action"},
		{`{"action":"explode",` + hash + `,` + peer + `}`, "action"},
		{`{"action":"announce",` + peer + `}`, "one info_hash"},
		{`{"action":"announce","info_hash":["` + id20("h") + `"],` + peer + `}`, "one info_hash"},
		{`{"action":"announce","info_hash":"` + id20("h") + `x",` + peer + `}`, "info_hash is not"},
		{`{"action":"announce","info_hash":"` + id20("Ā") + `",` + peer + `}`, "info_hash is not"},
		{`{"action":"announce","info_hash":12,` + peer + `}`, "info_hash is not"},
		{`{"action":"announce",` + hash + `}`, "peer_id"},
		{`{"action":"announce",` + hash + `,` + peer + `,"event":"exploded"}`, "event"},
		{`{"action":"announce",` + hash + `,` + peer + `,"event":5}`, "event"},
		{`{"action":"announce",` + hash + `,` + peer + `,"answer":{"type":"answer","sdp":""}}`, "to_peer_id"},
		{`{"action":"announce",` + hash + `,` + peer + `,"to_peer_id":"` + id20("q") + `","answer":{"type":"answer","sdp":""}}`, "offer_id"},
		{`{"action":"announce",` + hash + `,` + peer + `,"answer":5}`, "answer"},
		{`{"action":"scrape","info_hash":["short"]}`, "info_hash is not"},
	} {
		if _, err := scan(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %v, want %s", c.text, err, c.want)
		}
	}
	// What could be read is there for the failure message.
	r, err := scan(t, `{"action":"announce",`+hash+`,"peer_id":"short"`)
	if err == nil || r.Action != ActionAnnounce || string(r.RawInfoHash) != `"`+id20("h")+`"` {
		t.Errorf("%q %s %v", r.Action, r.RawInfoHash, err)
	}
}

func TestScanKeepsToLimits(t *testing.T) {
	head := `{"action":"announce","info_hash":"` + id20("h") + `","peer_id":"` + id20("p") + `","offers":[`
	many := strings.TrimSuffix(strings.Repeat(offerJSON("x")+",", 40), ",")
	for _, c := range []struct {
		offers     string
		want, bad  int
		comparison string
	}{
		{many, MaxOffers, 0, "more than allowed"},
		{`{},null,5,{"offer":null,"offer_id":"` + id20("o") + `"},` + offerJSON("x"), 1, 4, "broken ones are dropped"},
		{`{"offer":{"type":"answer","sdp":""},"offer_id":"` + id20("o") + `"}`, 0, 1, "an answer is not an offer"},
		{offerJSON(strings.Repeat(`\r\n`, MaxSDP/2)), 1, 0, "escapes count as what they mean"},
		{offerJSON(strings.Repeat("x", MaxSDP)), 1, 0, "the longest SDP"},
		{offerJSON(strings.Repeat("x", MaxSDP+1)), 0, 1, "a longer SDP"},
		{`{"offer":{"type":"offer","sdp":"","x":"` + strings.Repeat("x", 3*MaxSDP) + `"},"offer_id":"` + id20("o") + `"}`, 0, 1, "freight beside the SDP"},
	} {
		r, err := scan(t, head+c.offers+`]}`)
		if err != nil || len(r.Offers) != c.want || r.BrokenOffers != c.bad {
			t.Errorf("%s: %d offers, %d broken, %v", c.comparison, len(r.Offers), r.BrokenOffers, err)
		}
	}
	hashes := strings.TrimSuffix(strings.Repeat(`"`+id20("h")+`",`, 150), ",")
	if r, err := scan(t, `{"action":"scrape","info_hash":[`+hashes+`]}`); err != nil || len(r.InfoHashes) != MaxScrape {
		t.Errorf("%d info hashes, %v", len(r.InfoHashes), err)
	}
}

func TestLeftSaysSeeder(t *testing.T) {
	for left, want := range map[string]bool{`0`: true, `0.0`: true, `-0`: true, `0e9`: true, `1`: false, `null`: false, `"0"`: false, `[0]`: false, `1e999`: false} {
		r, err := scan(t, `{"action":"announce","info_hash":"`+id20("h")+`","peer_id":"`+id20("p")+`","left":`+left+`}`)
		if err != nil || r.Seeder != want {
			t.Errorf("left %s: seeder %v, %v", left, r.Seeder, err)
		}
	}
}

func TestAppendJSONIsMarshal(t *testing.T) {
	var id, got ID
	for k := range 13 {
		for i := range id {
			id[i] = byte(k*20 + i)
		}
		if b := id.AppendJSON(nil); json.Unmarshal(b, &got) != nil || got != id {
			t.Errorf("%s: %x", b, got)
		}
	}
}

// FuzzScan compares with encoding/json: the same text is taken, and read alike.
func FuzzScan(f *testing.F) {
	head := `{"action":"announce","info_hash":"` + id20("h") + `","peer_id":"` + id20(`\u00ff`) + `"`
	f.Add([]byte(head + `,"event":"started","left":0,"numwant":3.7,"offers":[` + offerJSON(`\ud83d\ude00`) + `,{}]}`))
	f.Add([]byte(head + `,"to_peer_id":"` + id20("ÿ") + `","offer_id":"` + id20(`\"`) + `","answer":{"sdp":"\u0000","type":"answer"}}`))
	f.Add([]byte(`{"action":"scrape","info_hash":["` + id20("a") + `","` + id20("b") + `"]}`))
	f.Add([]byte(` { "\u0061ction" : "scrape" , "x":[-1.5e+3,true,false,null,{}] } `))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) || depthOf(b) > MaxDepth {
			return
		}
		var r Request
		err := r.Scan(b, limits)
		var fields map[string]json.RawMessage
		if json.Unmarshal(b, &fields) != nil || fields == nil {
			if err == nil {
				t.Fatalf("%q is taken", b)
			}
			return
		}
		if want := reference(fields); (want == nil) != (err != nil) {
			t.Fatalf("%q: %v, want %+v", b, err, want)
		} else if want != nil {
			compare(t, b, &r, want)
		}
	})
}

func compare(t *testing.T, b []byte, r *Request, want *expected) {
	if r.Action != want.action || fmt.Sprint(r.InfoHashes) != fmt.Sprint(want.hashes) {
		t.Fatalf("%q: %s %v, want %+v", b, r.Action, r.InfoHashes, want)
	}
	if r.Action == ActionScrape {
		return
	}
	if ID(r.PeerID) != want.peer || r.Event != want.event || r.Seeder != want.seeder || r.NumWant != want.numWant || len(r.Offers) != len(want.offers) || r.IsAnswer != want.isAnswer {
		t.Fatalf("%q: %+v, want %+v", b, r, want)
	}
	for i, o := range r.Offers {
		if d, ok := description(o.Description, "offer"); !ok || d != want.offers[i].Offer || o.OfferID != want.offers[i].OfferID {
			t.Fatalf("%q: offer %d: %+v, want %+v", b, i, d, want.offers[i])
		}
		var id OfferID
		if json.Unmarshal(o.RawOfferID, &id) != nil || id != o.OfferID {
			t.Fatalf("%q: raw offer id %s", b, o.RawOfferID)
		}
	}
	var hash, peer ID
	if json.Unmarshal(r.RawInfoHash, &hash) != nil || magnet.InfoHash(hash) != r.InfoHashes[0] || json.Unmarshal(r.RawPeerID, &peer) != nil || wire.PeerID(peer) != r.PeerID {
		t.Fatalf("%q: raw %s %s", b, r.RawInfoHash, r.RawPeerID)
	}
}

type expected struct {
	action, event    string
	hashes           []magnet.InfoHash
	peer             ID
	seeder, isAnswer bool
	numWant          int
	offers           []Offer
}

// reference reads a message by encoding/json, nil if it is refused.
func reference(m map[string]json.RawMessage) *expected {
	w := &expected{numWant: -1}
	w.action = text(m["action"])
	var list []json.RawMessage
	isList := bytes.HasPrefix(m["info_hash"], []byte("["))
	if isList {
		if json.Unmarshal(m["info_hash"], &list) != nil {
			return nil
		}
	} else if m["info_hash"] != nil {
		list = []json.RawMessage{m["info_hash"]}
	}
	for _, raw := range list {
		var id ID
		if json.Unmarshal(raw, &id) != nil {
			return nil
		}
		if len(w.hashes) < MaxScrape {
			w.hashes = append(w.hashes, magnet.InfoHash(id))
		}
	}
	if w.action == ActionScrape {
		return w
	}
	if w.action != ActionAnnounce || isList || len(list) != 1 || json.Unmarshal(m["peer_id"], &w.peer) != nil {
		return nil
	}
	if raw := string(m["event"]); raw != "" && raw != "null" {
		switch w.event = text(m["event"]); {
		case raw[0] != '"':
			return nil
		case w.event == Update:
			w.event = ""
		case w.event != "" && w.event != Started && w.event != Stopped && w.event != Completed:
			return nil
		}
	}
	if f, ok := number(m["left"]); ok && f == 0 {
		w.seeder = true
	}
	if f, ok := number(m["numwant"]); ok {
		w.numWant = int(min(max(f, 0), math.MaxInt16))
	}
	w.offers = referenceOffers(m["offers"])
	if raw := m["answer"]; raw != nil && string(raw) != "null" {
		w.isAnswer = true
		var to, offer ID
		if _, ok := description(raw, "answer"); !ok || json.Unmarshal(m["to_peer_id"], &to) != nil || json.Unmarshal(m["offer_id"], &offer) != nil {
			return nil
		}
	}
	return w
}

func referenceOffers(raw json.RawMessage) (out []Offer) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	for _, raw := range list {
		var m map[string]json.RawMessage
		var o Offer
		var ok bool
		if json.Unmarshal(raw, &m) != nil || m == nil || json.Unmarshal(m["offer_id"], &o.OfferID) != nil {
			continue
		}
		if o.Offer, ok = description(m["offer"], "offer"); ok && len(out) < MaxOffers {
			out = append(out, o)
		}
	}
	return out
}

func description(raw json.RawMessage, kind string) (Description, bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || len(m["sdp"]) == 0 || m["sdp"][0] != '"' || len(raw) > 2*MaxSDP+256 {
		return Description{}, false
	}
	d := Description{Type: text(m["type"]), SDP: text(m["sdp"])}
	return d, d.Type == kind && len(d.SDP) <= MaxSDP
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func number(raw json.RawMessage) (float64, bool) {
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	var f float64
	if json.Unmarshal(raw, &f) != nil {
		f = math.Inf(1) // out of range
		if raw[0] == '-' {
			f = math.Inf(-1)
		}
	}
	return f, true
}

// depthOf is at least how deep b is nested.
func depthOf(b []byte) (most int) {
	depth := 0
	for _, c := range b {
		switch c {
		case '{', '[':
			depth++
			most = max(most, depth)
		case '}', ']':
			depth--
		}
	}
	return most
}

func BenchmarkScan(b *testing.B) {
	sdp := strings.Repeat(`a=candidate:3077952801 1 udp 2122265343 192.0.2.1 40001 typ host generation 0\r\n`, 13)
	offers := strings.TrimSuffix(strings.Repeat(offerJSON(sdp)+",", 5), ",")
	msg := []byte(`{"numwant":5,"uploaded":0,"downloaded":0,"left":1000,"action":"announce","info_hash":"` + id20("h") + `","peer_id":"` + id20("p") + `","offers":[` + offers + `]}`)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	var r Request
	for b.Loop() {
		if err := r.Scan(msg, limits); err != nil {
			b.Fatal(err)
		}
	}
}
