package seeder

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"kinopod/shared/api"
	"kinopod/shared/magnet"
	"kinopod/shared/torrent"
)

// swarm is one torrent while somebody asks for it: its open file, shared by all
// peers that it is given to.
type swarm struct {
	hash   magnet.InfoHash
	opened chan struct{} // closed once file and meta, or err, are set
	meta   *torrent.Torrent
	err    error

	// The file, and whether it may be read.
	reading sync.RWMutex
	file    File
	closed  bool

	// Guarded by Seeder.mu.
	refs    int // peers, native included, and calls under way
	asked   time.Time
	dropped bool
	browser map[*peer]struct{}
	tcp     map[*tcpPeer]struct{}
	native  *nativeTorrent // nil while no BitTorrent client asks
}

// errDropped ends the peers of a torrent that is dropped.
var errDropped = errors.New("the torrent is not served any more")

// ReadAt reads the file; after shut it gives fs.ErrClosed.
func (w *swarm) ReadAt(b []byte, off int64) (int, error) {
	w.reading.RLock()
	defer w.reading.RUnlock()
	if w.closed {
		return 0, fs.ErrClosed
	}
	return w.file.ReadAt(b, off)
}

// shut waits for reads under way and closes the file.
func (w *swarm) shut(log *slog.Logger) {
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.closed || w.file == nil {
		return
	}
	w.closed = true
	if err := w.file.Close(); err != nil {
		log.Warn("close file", "infoHash", w.hash, "err", err)
	}
}

// members lists the peers but those over uTP. Seeder.mu is held.
func (w *swarm) members() []lifetime {
	peers := make([]lifetime, 0, len(w.browser)+len(w.tcp))
	for p := range w.browser {
		peers = append(peers, p.lifetime)
	}
	for p := range w.tcp {
		peers = append(peers, p.lifetime)
	}
	return peers
}

// open gives the swarm of h, opened if need be, to be given back by release.
func (s *Seeder) open(h magnet.InfoHash) (*swarm, error) {
	s.mu.Lock()
	if s.engine == nil {
		s.mu.Unlock()
		return nil, refuse(RefusedOff, nil)
	}
	w, shared := s.swarms[h]
	if !shared {
		w = &swarm{hash: h, opened: make(chan struct{}), asked: time.Now(), browser: map[*peer]struct{}{}, tcp: map[*tcpPeer]struct{}{}}
		s.swarms[h] = w
	}
	w.refs++
	s.mu.Unlock()

	if shared {
		<-w.opened
	} else {
		w.file, w.err = s.openFile(h)
		if w.err == nil {
			w.meta = w.file.Torrent()
		}
		close(w.opened)
	}
	if w.err != nil {
		s.release(w)
		return nil, w.err
	}
	return w, nil
}

// openFile opens the file of h and makes sure that it is all there.
func (s *Seeder) openFile(h magnet.InfoHash) (File, error) {
	f, err := s.files.Open(h)
	if errors.Is(err, fs.ErrNotExist) || api.Is(err, api.CodeNotFound) {
		return nil, refuse(RefusedUnknown, err)
	}
	if err != nil {
		s.log.Error("open file to seed", "infoHash", h, "err", err)
		return nil, refuse(RefusedUnreadable, err)
	}
	var last [1]byte
	if n, err := f.ReadAt(last[:], f.Torrent().Length-1); n != 1 {
		err = errors.Join(fmt.Errorf("read the last byte of %s: %w", h, err), f.Close())
		s.log.Error("file to seed is not whole", "infoHash", h, "err", err)
		return nil, refuse(RefusedUnreadable, err)
	}
	return f, nil
}

// release gives back what open gave.
func (s *Seeder) release(w *swarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.refs--
	w.asked = time.Now()
	if w.err != nil && s.swarms[w.hash] == w {
		delete(s.swarms, w.hash)
	}
}

// fail has Run drop a torrent whose file could not be read as it should.
func (s *Seeder) fail(w *swarm, err error) {
	if errors.Is(err, fs.ErrClosed) {
		return // it was dropped
	}
	s.log.Error("read file to seed", "infoHash", w.hash, "err", err)
	select {
	case s.broken <- w.hash:
	default: // others are waiting; the next read fails again
	}
}

// closeIdle closes the files that nobody asked for since Config.Idle.
func (s *Seeder) closeIdle(now time.Time) {
	s.mu.Lock()
	var idle, native []*swarm
	for h, w := range s.swarms {
		switch {
		case now.Sub(w.asked) < s.config.Idle:
		case w.refs == 0:
			delete(s.swarms, h)
			idle = append(idle, w)
		case w.native != nil:
			native = append(native, w)
		}
	}
	s.mu.Unlock()
	for _, w := range idle {
		w.shut(s.log)
	}
	if len(native) > 0 {
		s.bt.dropIdle(s, native, now) // the files follow in their turn
	}
}

// closeSwarms closes every file when Run ends.
func (s *Seeder) closeSwarms() {
	s.mu.Lock()
	all := s.swarms
	s.swarms = map[magnet.InfoHash]*swarm{}
	s.mu.Unlock()
	for _, w := range all {
		<-w.opened
		w.shut(s.log)
	}
}
