package swarm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kinopod/webapp/piecestore"
)

func TestPiecesOfAnEarlierVisit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.webSeedDelay = time.Millisecond
		store := piecestore.NewMemory()
		var kept []int
		for i := range w.torrent.Pieces() / 2 {
			store.Put(i, w.piece(i))
			kept = append(kept, i)
		}
		torn := w.piece(5).Bytes()
		clear(torn[len(torn)/2:])
		store.Put(5, piecestore.FromBytes(torn))
		kept = append(kept, w.torrent.Pieces()-1) // the store says so, and does not have it
		e := w.engine(func(c *Config) { c.Store, c.Kept = store, func() []int { return kept } })
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		s := statsOf(t, e)
		// The run under way when the player met the torn piece is left, with what of it was on the way.
		if want := w.torrent.Length/2 + piece; s.FromWebSeed != want || w.fromWebSeed() < want || w.fromWebSeed() > want+piece {
			t.Errorf("%d from the web seed, which served %d; want %d: what was not there, and the piece that was torn", s.FromWebSeed, w.fromWebSeed(), want)
		}
		if s.Pieces[5].Source != WebSeed || s.Pieces[6].Source != Local || !s.Complete {
			t.Errorf("%+v, %+v, complete: %v", s.Pieces[5], s.Pieces[6], s.Complete)
		}
	})
}

// What was kept is given to others once it was checked, though nobody here asks for it.
func TestPiecesOfAnEarlierVisitAreSeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		store := piecestore.NewMemory()
		var kept []int
		for i := range w.torrent.Pieces() {
			store.Put(i, w.piece(i))
			kept = append(kept, i)
		}
		torn := w.piece(9).Bytes()
		torn[0] ^= 1
		store.Put(9, piecestore.FromBytes(torn))
		w.webSeedDown = true
		w.engine(func(c *Config) { c.Store, c.Kept = store, func() []int { return kept } })
		e := w.engine(nil)
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		if _, err := e.Read(ctx, 9*piece, 1); err == nil {
			t.Fatal("a torn piece was given on")
		}
		for i := range w.torrent.Pieces() {
			if i == 9 {
				continue
			}
			if _, err := e.Read(within(t, 20*time.Second), w.torrent.Offset(i), 1); err != nil {
				t.Fatalf("piece %d: %v", i, err)
			}
		}
		s := statsOf(t, e)
		if s.FromViewers != w.torrent.Length-piece || s.Wasted != 0 || len(s.Peers) != 1 {
			t.Errorf("%d bytes from the first viewer, %d wasted, %d peers", s.FromViewers, s.Wasted, len(s.Peers))
		}
	})
}

// A disk that takes its time: others are met meanwhile, and nothing is fetched that it may
// have.
func TestAStoreThatOpensLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		w.engine(func(c *Config) { c.Complete = true })
		store := piecestore.NewMemory()
		store.Put(0, w.piece(0))
		e := w.engine(func(c *Config) {
			c.Store, c.Kept = store, func() []int { time.Sleep(2 * time.Second); return []int{0} }
		})
		began := time.Now()
		read := make(chan error, 1)
		go func() { _, err := e.Read(within(t, 20*time.Second), 0, 1); read <- err }()
		time.Sleep(time.Second)
		if s := statsOf(t, e); len(s.Peers) != 1 || w.fromWebSeed() > 0 || s.FromViewers > 0 {
			t.Errorf("before the store is open: %d peers, %d from the web seed, %d from viewers", len(s.Peers), w.fromWebSeed(), s.FromViewers)
		}
		if err := <-read; err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("piece 0 after %s: %v", time.Since(began), err)
		}
		if s := statsOf(t, e); s.Pieces[0].Source != Local {
			t.Errorf("piece 0 from %v", s.Pieces[0].Source)
		}
		if err := w.readAll(within(t, 20*time.Second), e, 0); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, e); s.FromViewers+s.FromWebSeed != w.torrent.Length-piece {
			t.Errorf("%d from viewers and %d from the web seed; all but one piece of %d are wanted", s.FromViewers, s.FromWebSeed, w.torrent.Length)
		}
	})
}

// small is a store with room for a few pieces.
type small struct {
	*piecestore.Memory
	room []int
}

func (s *small) Put(i int, c piecestore.Chunk) {
	if s.Memory.Put(i, c); len(s.room) == cap(s.room) {
		s.Drop(s.room[0])
		s.room = append(s.room[:0], s.room[1:]...)
	}
	s.room = append(s.room, i)
}

func TestAFilmThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4*mib, piece)
		e := w.engine(func(c *Config) { c.Store = &small{piecestore.NewMemory(), make([]int, 0, 40)} })
		for range 2 {
			if err := w.readAll(within(t, 60*time.Second), e, 0); err != nil {
				t.Fatal(err)
			}
		}
		// Another viewer asks for what fell out: it does not get it, and nobody else has to
		// pay for it.
		served := w.fromWebSeed()
		other := w.engine(func(c *Config) { c.WebSeed = "" })
		if _, err := other.Read(within(t, time.Minute), 0, 1); err == nil {
			t.Error("piece 0 is still there")
		}
		if _, err := other.Read(within(t, time.Minute), w.torrent.Length-1, 1); err != nil {
			t.Error("the last piece is not there")
		}
		if w.fromWebSeed() > served {
			t.Errorf("the web seed served %d bytes for pieces that fell out", w.fromWebSeed()-served)
		}
	})
}

// Two tabs, one engine: one plays the beginning, the other reads far behind it.
func TestAReaderBesideThePlayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := film(t, 120)
		e := w.engine(func(c *Config) { c.Trackers = nil })
		ctx := within(t, time.Minute)
		if _, err := e.Read(ctx, 0, 1); err != nil {
			t.Fatal(err)
		}
		// The player has more ahead than the picker looks.
		e.SetPlayback(Playback{Position: 0, Buffered: 60})
		began := time.Now()
		far := w.torrent.Length / 2
		if _, err := e.ReadBeside(ctx, far, 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second { // of the test's own time
			t.Errorf("it waited for %s", took)
		}
		var head int64
		if err := e.ask(ctx, func() { head = e.head }); err != nil || head >= far {
			t.Errorf("the player's place is %d: %v", head, err)
		}
		time.Sleep(10 * time.Second)
		var beyond bool
		if err := e.ask(ctx, func() { beyond = e.have.Has(int(far/e.t.PieceLength) + 4) }); err != nil || beyond {
			t.Error("more was fetched than the other tab asked for", err)
		}
	})
}
