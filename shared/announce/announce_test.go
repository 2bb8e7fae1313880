package announce

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestIDsTravelAsCodePoints(t *testing.T) {
	var id ID
	for k := range 13 {
		for i := range id {
			id[i] = byte(k*20 + i)
		}
		b, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		var got ID
		if err := json.Unmarshal(b, &got); err != nil || got != id {
			t.Errorf("%s: %x, %v", b, got, err)
		}
	}
	for _, bad := range []string{`""`, `"short"`, `null`, `5`, `"` + strings.Repeat("\u0100", 20) + `"`, `"` + strings.Repeat("x", 21) + `"`} {
		if err := json.Unmarshal([]byte(bad), &id); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestLeftAbsentIsNull(t *testing.T) {
	b, err := json.Marshal(Announce{Event: Started, NumWant: 5})
	if err != nil || !strings.Contains(string(b), `"left":null`) || !strings.Contains(string(b), `"action":"announce"`) {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzParseReceived(f *testing.F) {
	id := strings.Repeat("x", 20)
	f.Add([]byte(`{"action":"announce","info_hash":"` + id + `","complete":1,"incomplete":2,"interval":120}`))
	f.Add([]byte(`{"action":"announce","info_hash":"` + id + `","peer_id":"` + id + `","offer_id":"` + id + `","offer":{"type":"offer","sdp":"v=0"}}`))
	f.Add([]byte(`{"failure reason":"no"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReceived(b)
		if err == nil && (r.Offer != nil || r.Answer != nil) && (r.PeerID == nil || r.OfferID == nil) {
			t.Fatalf("%s: %+v", b, r)
		}
	})
}
