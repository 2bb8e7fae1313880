package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kinopod/shared/api"
)

const (
	// sweepEvery is how often Run looks for what is left to do: memory only, unless
	// there is something.
	sweepEvery = time.Second
	// sweepTime bounds one thing that is left to do.
	sweepTime = 30 * time.Second
	// maxWait is how long a sweep waits at most to try again what failed.
	maxWait = time.Minute
	// auditEvery is how often Run compares quotas and files with the catalogue.
	auditEvery = time.Hour
)

// Run makes thumbnails, finishes what a killed pod or a Redis that was away left
// half done, and ends uploads that expired. It returns when ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	server, err := p.startTasks(ctx)
	if err != nil {
		return fmt.Errorf("start tasks: %w", err)
	}
	defer server.Shutdown()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var audited time.Time
	for {
		p.sweep(ctx)
		if p.auditSoon.Swap(false) || time.Since(audited) >= auditEvery {
			if p.audit(ctx) {
				audited = time.Now()
			} else {
				p.auditSoon.Store(true)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep does what is due and leaves alone what somebody is busy with.
func (p *Publisher) sweep(ctx context.Context) {
	p.mu.Lock()
	for id, r := range p.refused {
		if time.Since(r.at) > refusalTime {
			delete(p.refused, id)
		}
	}
	p.mu.Unlock()
	for _, u := range p.all() {
		if ctx.Err() != nil {
			return
		}
		if do := p.dueOf(u); do != nil {
			p.due(ctx, u, do)
		}
	}
}

// due does one thing with the turn of an upload, if nobody else has it.
func (p *Publisher) due(ctx context.Context, u *upload, do func(context.Context, *upload) error) {
	release, ok := p.turns.takeIdle(u.id)
	if !ok {
		return
	}
	defer release()
	if p.upload(u.id) != u {
		return // it ended meanwhile
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	err := do(ctx, u)
	if err == nil || api.Is(err, api.CodeUnsupported) {
		u.wait(0)
		return
	}
	wait := u.wait(maxWait)
	p.log.Warn("an upload could not be brought forward; it is tried again", "video", u.id, "wait", wait, "err", err)
}

// dueOf says what is to be done with an upload now: nil for most.
func (p *Publisher) dueOf(u *upload) func(context.Context, *upload) error {
	offset, _, listed, dropped := u.state()
	switch {
	case u.waits():
		return nil
	case dropped:
		return p.clear
	case !listed.IsZero():
		if time.Since(listed) < p.settled {
			return nil
		}
		return p.settle
	case offset == u.Size:
		return p.finish
	case p.expired(u):
		return func(ctx context.Context, u *upload) error {
			if !p.expired(u) { // bytes came while we waited
				return nil
			}
			p.log.Info("an upload expired", "video", u.id)
			p.drop(ctx, u)
			return nil
		}
	}
	return nil
}

// expired says whether no byte came for too long. A complete upload never expires.
func (p *Publisher) expired(u *upload) bool {
	offset, lastByte, listed, _ := u.state()
	return listed.IsZero() && offset < u.Size && time.Since(lastByte) > p.cfg.Expiry
}

// orphanAge is how long a picture may be on disk before somebody names it.
const orphanAge = 10 * time.Minute

// removeOrphans deletes pictures that neither a video nor an upload names: a pod was
// killed between putting one and naming it.
func (p *Publisher) removeOrphans(ctx context.Context) error {
	return p.files.OldThumbnails(time.Now().Add(-orphanAge), func(hashes []string) error {
		unclaimed, err := p.catalog.Unclaimed(ctx, hashes)
		if err != nil {
			return err
		}
		named := map[string]bool{}
		for _, u := range p.all() {
			u.mu.Lock()
			named[u.details.Thumbnail] = true
			u.mu.Unlock()
		}
		for _, hash := range unclaimed {
			if !named[hash] {
				err = errors.Join(err, p.files.RemoveThumbnail(hash))
			}
		}
		return err
	})
}

// audit deletes what is on the catalogue's lists of what is to be deleted, and
// gives back quota of what is neither upload nor video: a pod that was killed, or a
// Redis that was away, may have left either.
func (p *Publisher) audit(ctx context.Context) (done bool) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	withdrawn, err := p.catalog.Withdrawn(ctx)
	for _, h := range withdrawn {
		err = errors.Join(err, p.deleteFile(ctx, h))
	}
	unused, thumbnailErr := p.catalog.UnusedThumbnails(ctx)
	err = errors.Join(err, thumbnailErr)
	for _, hash := range unused {
		err = errors.Join(err, p.deleteThumbnail(ctx, hash))
	}
	if err == nil {
		err = p.removeOrphans(ctx)
	}
	if err == nil {
		_, err = p.quota.ReleaseVanished(ctx, p.Exists)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("could not compare files and quotas with the catalogue; it is tried again", "err", err)
	}
	return err == nil
}
