package container

import "fmt"

// tables are the boxes of stbl that say where samples lie.
type tables struct {
	entries, sizes, chunks, runs box // stsd, stsz or stz2, stco or co64, stsc; kind "" if absent
}

// sampleTable reads stbl: how long the samples last, and whether they all lie in
// the file.
func (w *window) sampleTable(t *track, stbl box) error {
	err := w.each(stbl.body, stbl.end, func(b box) error {
		switch b.kind {
		case "stsd":
			t.tables.entries = b
		case "stts":
			return w.sampleTimes(t, b)
		case "stsz", "stz2":
			t.tables.sizes = b
		case "stco", "co64":
			t.tables.chunks = b
		case "stsc":
			t.tables.runs = b
		}
		return nil
	})
	if err != nil || t.tables.sizes.kind == "" {
		return err
	}
	return w.sampleBytes(t)
}

// rows checks a table's count against its box; header is where rows begin.
func (w *window) rows(b box, at, header, row int64) (int64, error) {
	n, err := w.field32(b, at)
	if err != nil {
		return 0, err
	}
	if int64(n)*row > b.end-b.body-header {
		return 0, corrupt(fmt.Sprintf("table %q claims more rows than it has", b.kind))
	}
	return int64(n), nil
}

// sampleTimes adds up stts.
func (w *window) sampleTimes(t *track, b box) error {
	n, err := w.rows(b, 4, 8, 8)
	if err != nil {
		return err
	}
	for i := range n {
		row, err := w.u64(b.body + 8 + i*8)
		if err != nil {
			return err
		}
		count, delta := row>>32, row&(1<<32-1)
		t.length = addCapped(t.length, count*delta)
	}
	return nil
}

// addCapped keeps sums of hostile numbers from wrapping around.
func addCapped(a, b uint64) uint64 {
	if a+b < a {
		return 1<<64 - 1
	}
	return a + b
}

// sampleSizes gives sample sizes one after another, in time that grows with the
// table and not with the samples it claims.
type sampleSizes struct {
	w     *window
	b     box
	fixed uint64 // size of every sample, or 0
	width int64  // bits of a row
	count int64
	next  int64
}

func (w *window) sampleSizes(b box) (*sampleSizes, error) {
	s := &sampleSizes{w: w, b: b, width: 32}
	first, err := w.field32(b, 4)
	if err != nil {
		return nil, err
	}
	if b.kind == "stz2" {
		s.width = int64(first & 0xff)
		if s.width != 4 && s.width != 8 && s.width != 16 {
			return nil, corrupt("sample sizes have an impossible width")
		}
	} else {
		s.fixed = uint64(first)
	}
	n, err := w.field32(b, 8)
	if err != nil {
		return nil, err
	}
	s.count = int64(n)
	if s.fixed == 0 && (s.count*s.width+7)/8 > b.end-b.body-12 {
		return nil, corrupt(fmt.Sprintf("table %q claims more rows than it has", b.kind))
	}
	return s, nil
}

// sum adds up the next n samples; what the table does not have counts nothing.
func (s *sampleSizes) sum(n int64) (uint64, error) {
	n = min(n, s.count-s.next)
	first := s.next
	s.next += n
	if s.fixed > 0 {
		return uint64(n) * s.fixed, nil // both below 2^32
	}
	var total uint64
	for i := first; i < first+n; i++ {
		size, err := s.at(i)
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

func (s *sampleSizes) at(i int64) (uint64, error) {
	if s.fixed > 0 {
		return s.fixed, nil
	}
	rows := s.b.body + 12
	switch s.width {
	case 4:
		v, err := s.w.u8(rows + i/2)
		return uint64(v >> (4 * (1 - i%2)) & 15), err
	case 8:
		v, err := s.w.u8(rows + i)
		return uint64(v), err
	case 16:
		v, err := s.w.u16(rows + 2*i)
		return uint64(v), err
	}
	v, err := s.w.u32(rows + 4*i)
	return uint64(v), err
}

// run is one row of stsc.
type run struct{ firstChunk, samples int64 }

// sampleRuns gives the rows of stsc one after another.
type sampleRuns struct {
	w     *window
	b     box
	count int64
	next  int64
}

func (r *sampleRuns) row() (run, bool, error) {
	if r.next >= r.count {
		return run{}, false, nil
	}
	at := r.b.body + 8 + 12*r.next
	r.next++
	b, err := r.w.at(at, 8)
	if err != nil {
		return run{}, false, err
	}
	return run{
		firstChunk: int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3]),
		samples:    int64(b[4])<<24 | int64(b[5])<<16 | int64(b[6])<<8 | int64(b[7]),
	}, true, nil
}

// sampleBytes checks that every chunk of samples lies in the file. Each of the
// three tables is read through a window of its own: they are far from each other.
func (w *window) sampleBytes(t *track) error {
	sizes, err := newWindow(w.r, w.size).sampleSizes(t.tables.sizes)
	if err != nil {
		return err
	}
	t.samples = uint64(sizes.count)
	if sizes.count == 0 {
		return nil
	}
	if t.tables.chunks.kind == "" || t.tables.runs.kind == "" {
		return corrupt("its index does not say where the samples are")
	}
	row := int64(4)
	if t.tables.chunks.kind == "co64" {
		row = 8
	}
	chunks, err := w.rows(t.tables.chunks, 4, 8, row)
	if err != nil {
		return err
	}
	n, err := w.rows(t.tables.runs, 4, 8, 12)
	if err != nil {
		return err
	}
	runs := &sampleRuns{w: newWindow(w.r, w.size), b: t.tables.runs, count: n}
	return w.chunkEnds(t, sizes, runs, chunks, row)
}

func (w *window) chunkEnds(t *track, sizes *sampleSizes, runs *sampleRuns, chunks, row int64) error {
	var now, after run
	var more bool
	var err error
	if after, more, err = runs.row(); err != nil {
		return err
	}
	for chunk := int64(1); chunk <= chunks && sizes.next < sizes.count; chunk++ {
		for more && after.firstChunk <= chunk {
			now = after
			if after, more, err = runs.row(); err != nil {
				return err
			}
		}
		var offset uint64
		if row == 8 {
			offset, err = w.u64(t.tables.chunks.body + 8 + (chunk-1)*8)
		} else {
			var v uint32
			v, err = w.u32(t.tables.chunks.body + 8 + (chunk-1)*4)
			offset = uint64(v)
		}
		if err != nil {
			return err
		}
		first := sizes.next
		length, err := sizes.sum(now.samples)
		if err != nil {
			return err
		}
		if offset > uint64(w.size) || length > uint64(w.size)-offset {
			return truncated("its index points past its end")
		}
		if length > 0 && (chunk == 1 || chunk == chunks/2 || chunk == chunks) {
			size, err := sizes.at(first)
			if err != nil {
				return err
			}
			t.pictures.add(offset, size)
		}
	}
	if sizes.next < sizes.count {
		return corrupt("its index does not say where all samples are")
	}
	return nil
}
