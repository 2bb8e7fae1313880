package federation

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"kinopod/shared/api"
	"kinopod/shared/video"
)

func details() map[string]any {
	kept := KeptDetails{Revision: 7, Details: Details{Description: "Drei", Uploader: video.Profile{Name: "Bert"}}}
	return map[string]any{
		"details.kept":    kept,
		"details.request": DetailsRequest{ID: film().ID, Watch: true},
		"details": Details{
			Description: "Zwei\nZeilen <b>", Uploader: video.Profile{Name: "Anna B.", About: "Filmt."}, Members: true,
			Pass: &api.Pass{Expires: 1_700_000_000, Signature: "c2lnbmF0dXJl"},
		},
	}
}

func parserOf(name string) func([]byte) (any, error) {
	switch name {
	case "details":
		return func(b []byte) (any, error) { return ParseDetails(b) }
	case "details.kept":
		return func(b []byte) (any, error) { return ParseKeptDetails(b) }
	}
	return func(b []byte) (any, error) { return ParseDetailsRequest(b) }
}

func TestGoldenDetails(t *testing.T) {
	for name, want := range details() {
		golden(t, name, want, parserOf(name))
	}
}

func TestDetailsThatAreNone(t *testing.T) {
	for _, body := range []string{
		"", "[]", `{"description":1}`, `{"description":"` + strings.Repeat("x", video.MaxText+1) + `"}`, `{"uploader":{"name":"` + strings.Repeat("x", video.MaxShownName+1) + `"}}`,
		`{"uploader":{"about":"` + strings.Repeat("x", video.MaxAbout+1) + `"}}`, `{"pass":{}}`, `{"pass":{"expires":-1,"signature":"a"}}`,
		`{"pass":{"expires":9,"signature":"` + strings.Repeat("x", maxSignature+1) + `"}}`,
	} {
		var r *Refusal
		if _, err := ParseDetails([]byte(body)); !errors.As(err, &r) || r.Reason != BadBody {
			t.Errorf("%.60s: %v", body, err)
		}
	}
	for _, body := range []string{"", "[]", "{}", `{"id":"../.."}`, `{"id":1}`} {
		var r *Refusal
		if _, err := ParseDetailsRequest([]byte(body)); !errors.As(err, &r) || r.Reason != BadBody {
			t.Errorf("%s: %v", body, err)
		}
	}
	d, err := ParseDetails([]byte(`{"description":"a\u202e\u0000\u001b[31mb","uploader":{"name":"x\ny"}}`))
	if err != nil || d.Description != "a[31mb" || d.Uploader.Name != "x y" {
		t.Errorf("%+v, %v", d, err)
	}
	whole := Details{Description: strings.Repeat("\U0001f600", video.MaxText)}
	if b := mustJSON(whole); len(b) > MaxBody {
		t.Errorf("the longest description is a body of %d bytes", len(b))
	}
}

func FuzzParseDetails(f *testing.F) {
	for _, d := range details() {
		f.Add(mustJSON(d))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if r, err := ParseDetailsRequest(body); err == nil {
			if again, err := ParseDetailsRequest(mustJSON(r)); err != nil || again != r {
				t.Fatalf("%+v became %+v (%v)", r, again, err)
			}
		}
		if k, err := ParseKeptDetails(body); err == nil {
			if again, err := ParseKeptDetails(mustJSON(k)); err != nil || !reflect.DeepEqual(again, k) {
				t.Fatalf("%+v became %+v (%v)", k, again, err)
			}
		}
		d, err := ParseDetails(body)
		if err != nil {
			return
		}
		if again, err := ParseDetails(mustJSON(d)); err != nil || !reflect.DeepEqual(again, d) {
			t.Fatalf("%+v became %+v (%v)", d, again, err)
		}
	})
}
