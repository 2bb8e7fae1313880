package pod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kinopod/pod/config"
	"kinopod/pod/indexer"
	"kinopod/pod/redisstore"
	"kinopod/shared/network"
)

// IndexCheck asks for a check of the catalogue.
type IndexCheck struct {
	Repair bool `json:"repair"`
}

// IndexReport is what a check of the catalogue found.
type IndexReport struct {
	Videos   int      `json:"videos"`
	Searched int      `json:"searched"` // of them that the search index has
	Found    int      `json:"found"`    // problems
	Mended   int      `json:"mended"`
	Problems []string `json:"problems"` // the first of them, one line each
}

// checkTime bounds a check: a million videos take a minute or so.
const checkTime = 30 * time.Minute

// mostTold is how many problems are told.
const mostTold = 100

// CheckIndex checks the catalogue, its indexes and the search index: by the pod that runs
// with cfg's data directory, or where none runs, on its files.
func CheckIndex(ctx context.Context, cfg config.Config, in IndexCheck, log *slog.Logger) (r IndexReport, err error) {
	dir, err := cfg.DataDir()
	if err != nil {
		return r, err
	}
	err = askRunning(ctx, dir, checkTime, http.MethodPost, "/index/check", in, &r)
	if err == nil || !errors.Is(err, ErrNotRunning) {
		return r, err
	}
	err = offline(ctx, cfg, log, func(db *redisstore.DB) error {
		index := indexer.New(snapshotPath(dir), db, log)
		ctx, stop := context.WithTimeout(ctx, checkTime)
		var running sync.WaitGroup
		running.Go(func() { _ = index.Run(ctx) })
		defer running.Wait()
		defer stop()
		r, err = checkIndex(ctx, db, index, network.Host(strings.ToLower(cfg.Host)), in.Repair)
		return err
	})
	return r, err
}

func snapshotPath(data string) string { return filepath.Join(data, "search.snapshot") }

// checkIndex compares the records with what is made of them, and the search index with
// the records.
func checkIndex(ctx context.Context, db *redisstore.DB, index *indexer.Index, us network.Host, repair bool) (r IndexReport, err error) {
	found, seqs, err := db.Check(ctx, us, repair)
	if err != nil {
		return r, fmt.Errorf("check the catalogue: %w", err)
	}
	r = IndexReport{Videos: found.Videos, Found: found.Found, Mended: found.Mended, Problems: found.Problems}
	problems, err := index.Check(ctx, seqs, repair)
	if err != nil {
		return r, fmt.Errorf("check the search index: %w", err)
	}
	r.Searched = index.Stats().Videos
	r.Found += len(problems)
	if repair {
		r.Mended += len(problems)
	}
	r.Problems = slices.Concat(r.Problems, problems)
	r.Problems = slices.Concat([]string{}, r.Problems[:min(len(r.Problems), mostTold)])
	return r, nil
}
