package httpapi

import (
	"testing"
)

func TestParseRange(t *testing.T) {
	const size = 1000
	for header, want := range map[string]struct {
		span
		kind rangeKind
	}{
		"":                               {span{0, size}, rangeWhole},
		"bytes=0-0":                      {span{0, 1}, rangeClosed},
		"bytes=0-":                       {span{0, size}, rangeOpen},
		"Bytes=10-19":                    {span{10, 10}, rangeClosed},
		"bytes= 10-19 ":                  {span{10, 10}, rangeClosed},
		"bytes=999-":                     {span{999, 1}, rangeOpen},
		"bytes=990-5000":                 {span{990, 10}, rangeClosed},
		"bytes=990-99999999999999999999": {span{990, 10}, rangeClosed},
		"bytes=-1":                       {span{999, 1}, rangeClosed},
		"bytes=-5000":                    {span{0, size}, rangeClosed},
		"bytes=0-1,5-6":                  {span{0, size}, rangeWhole},
		"bytes=5000-,5-6":                {span{0, size}, rangeWhole},
		"seconds=1-2":                    {span{0, size}, rangeWhole},
		"bytes=1000-":                    {span{}, rangeRefused},
		"bytes=5000-6000":                {span{}, rangeRefused},
		"bytes=99999999999999999999-":    {span{}, rangeRefused},
		"bytes=-0":                       {span{}, rangeRefused},
		"bytes=-":                        {span{}, rangeRefused},
		"bytes=":                         {span{}, rangeRefused},
		"bytes":                          {span{}, rangeRefused},
		"bytes=5-4":                      {span{}, rangeRefused},
		"bytes=a-b":                      {span{}, rangeRefused},
		"bytes=+1-2":                     {span{}, rangeRefused},
		"bytes=1--2":                     {span{}, rangeRefused},
		"bytes=0x1-2":                    {span{}, rangeRefused},
		"bytes=5000-,x":                  {span{}, rangeRefused},
	} {
		if got, kind := parseRange(header, size); got != want.span || kind != want.kind {
			t.Errorf("%q: %v kind %d, want %v kind %d", header, got, kind, want.span, want.kind)
		}
	}
	if _, kind := parseRange("bytes=0-", 0); kind != rangeRefused {
		t.Error("a range of an empty file")
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-1,5-", int64(10))
	f.Add("bytes=-5", int64(3))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			size = 0
		}
		got, kind := parseRange(header, size)
		if kind != rangeRefused && (got.first < 0 || got.n < 0 || got.first+got.n > size) {
			t.Fatalf("%q of %d: %v", header, size, got)
		}
	})
}
