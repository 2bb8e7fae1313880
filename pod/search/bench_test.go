package search

import (
	"context"
	"testing"
	"time"

	"kinopod/build/samples"
)

func benchIndex(b *testing.B, n int) *Index {
	x := newIndex(b)
	x.now = func() time.Time { return samples.End }
	m := samples.Realistic(n)
	for id := range uint32(n) {
		v := m.Next()
		x.Put(Document{ID: id + 1, Name: v.Name, Description: v.Description, Uploader: v.Uploader, Tags: v.Tags, Origin: v.Origin, Created: v.Created, Duration: v.Duration})
	}
	x.settle(1)
	for x.tidy() {
	}
	return x
}

func BenchmarkSearch(b *testing.B) {
	x := benchIndex(b, 100_000)
	for name, query := range map[string]string{
		"common word":        "ba ",
		"three common words": "ba ca cha ",
		"rare and common":    "gon ba ",
		"prefix":             "bra",
		"wrong letter":       "wherx ",
		"phrase":             `"ba ca"`,
		"origin":             "origin:pod0.example.net ba ",
	} {
		b.Run(name, func(b *testing.B) {
			q := Parse(query)
			n := 0
			for b.Loop() {
				r, err := x.Search(context.Background(), q, "", 24)
				if err != nil {
					b.Fatal(err)
				}
				n += len(r.IDs)
			}
			b.ReportMetric(float64(n)/float64(b.N), "answers")
		})
	}
}

func BenchmarkPut(b *testing.B) {
	x := newIndex(b)
	m := samples.Realistic(1_000_000)
	var videos []Document
	for id := range uint32(20_000) {
		v := m.Next()
		videos = append(videos, Document{ID: id + 1, Name: v.Name, Description: v.Description, Uploader: v.Uploader, Tags: v.Tags, Origin: v.Origin, Created: v.Created, Duration: v.Duration})
	}
	id := uint32(0)
	for b.Loop() {
		id++
		d := videos[id%20_000]
		d.ID = id
		x.Put(d)
		for id%mostFresh == 0 && x.tidy() {
		}
	}
}
