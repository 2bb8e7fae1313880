package redisstore

import (
	"slices"
	"testing"
	"time"

	"kinopod/pod/catalog"
	"kinopod/pod/catalog/catalogtest"
)

// BenchmarkNewest measures pages of a catalogue of 100,000 videos, and what it
// weighs: go test -run '^$' -bench Newest ./pod/redisstore
func BenchmarkNewest(b *testing.B) {
	const size = 100_000
	db := open(b, startServer(b).socket())
	began := time.Now()
	load(b, db, size)
	b.Logf("%d videos in %.1f s, memory of redis: %s", size, time.Since(began).Seconds(), infoValue(db.redis.Info(b.Context(), "memory").Val(), "used_memory_human"))

	deep := &catalog.Position{Created: catalogtest.NewVideo(size / 2).Created}
	for _, bench := range []struct {
		name string
		l    catalog.Listing
	}{
		{"first", catalog.Listing{Limit: 24}},
		{"deep", catalog.Listing{Limit: 24, After: deep}},
		{"origin", catalog.Listing{Limit: 24, Origin: "pod.example"}},
		{"uploader", catalog.Listing{Limit: 24, Origin: "pod.example", Uploader: "anna"}},
		{"strangers-origin", catalog.Listing{Limit: 24, Origin: "nobody.example"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, _, err := db.Page(b.Context(), bench.l); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// load adds n videos, many in a transaction.
func load(b *testing.B, db *DB, n int) {
	b.Helper()
	const batch = 200
	for first := 1; first <= n; first += batch {
		err := db.transact(b.Context(), "load", func(t *tx) error {
			for i := first; i < first+batch; i++ {
				v := catalogtest.NewVideo(i)
				v.Renditions = v.Renditions[:1]
				record, err := encodeVideo(&v)
				if err != nil {
					return err
				}
				put(t, stored{v, uint32(i), string(record)}, refsOf(&v))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
