package container

// fragmentTimes are a track's times in the fragments of a movie (moof), in the
// track's timescale.
type fragmentTimes struct {
	defaultDuration, defaultSize uint32 // trex
	seen                         bool
	begin, end                   uint64
}

func (f *fragmentTimes) length() uint64 {
	if f.end < f.begin {
		return 0
	}
	return f.end - f.begin
}

// defaults reads mvex.
func (w *window) defaults(m *movie, mvex box) error {
	return w.each(mvex.body, mvex.end, func(b box) error {
		if b.kind != "trex" {
			return nil
		}
		var f [3]uint32
		for i, at := range []int64{4, 12, 16} {
			var err error
			if f[i], err = w.field32(b, at); err != nil {
				return err
			}
		}
		if t := m.byID(f[0]); t != nil {
			t.fragment.defaultDuration, t.fragment.defaultSize = f[1], f[2]
		}
		return nil
	})
}

func (m *movie) byID(id uint32) *track {
	for _, t := range m.tracks {
		if t.id == id {
			return t
		}
	}
	return nil
}

// fragment reads moof.
func (w *window) fragment(m *movie, moof box) error {
	if moof.end-moof.start > maxFragment {
		return corrupt("a fragment's index is larger than that of any video")
	}
	return w.each(moof.body, moof.end, func(b box) error {
		if b.kind != "traf" {
			return nil
		}
		return w.trackFragment(m, moof, b)
	})
}

// Flags of tfhd and trun.
const (
	baseDataOffset     = 0x1
	sampleDescription  = 0x2
	defaultDuration    = 0x8
	defaultSize        = 0x10
	runDataOffset      = 0x1
	runFirstFlags      = 0x4
	runSampleDuration  = 0x100
	runSampleSize      = 0x200
	runSampleFlags     = 0x400
	runSampleComposing = 0x800
)

// fragmentState is what one traf says before and between its runs.
type fragmentState struct {
	t              *track
	base           uint64 // of data offsets
	duration, size uint32 // of samples that do not say
	time           uint64
}

func (w *window) trackFragment(m *movie, moof, traf box) error {
	var s fragmentState
	return w.each(traf.body, traf.end, func(b box) error {
		switch b.kind {
		case "tfhd":
			return w.fragmentHeader(m, &s, moof, b)
		case "tfdt":
			if s.t == nil {
				return nil
			}
			return w.fragmentTime(&s, b)
		case "trun":
			if s.t == nil {
				return nil
			}
			return w.fragmentRun(&s, b)
		}
		return nil
	})
}

func (w *window) fragmentHeader(m *movie, s *fragmentState, moof, b box) error {
	flags, err := w.field32(b, 0)
	if err != nil {
		return err
	}
	id, err := w.field32(b, 4)
	if err != nil {
		return err
	}
	t := m.byID(id)
	if t == nil {
		return nil // of a track that the index does not have: players pass over it
	}
	*s = fragmentState{t: t, base: uint64(moof.start), duration: t.fragment.defaultDuration, size: t.fragment.defaultSize, time: t.fragment.end}
	at := int64(8)
	if flags&baseDataOffset != 0 {
		hi, err := w.field32(b, at)
		if err != nil {
			return err
		}
		lo, err := w.field32(b, at+4)
		if err != nil {
			return err
		}
		s.base = uint64(hi)<<32 | uint64(lo)
		at += 8
	}
	if flags&sampleDescription != 0 {
		at += 4
	}
	if flags&defaultDuration != 0 {
		if s.duration, err = w.field32(b, at); err != nil {
			return err
		}
		at += 4
	}
	if flags&defaultSize != 0 {
		s.size, err = w.field32(b, at)
	}
	return err
}

func (w *window) fragmentTime(s *fragmentState, b box) error {
	first, err := w.field32(b, 0)
	if err != nil {
		return err
	}
	v, err := w.field32(b, 4)
	if err != nil {
		return err
	}
	s.time = uint64(v)
	if first>>24 == 1 {
		lo, err := w.field32(b, 8)
		if err != nil {
			return err
		}
		s.time = s.time<<32 | uint64(lo)
	}
	return nil
}

func (w *window) fragmentRun(s *fragmentState, b box) error {
	flags, err := w.field32(b, 0)
	if err != nil {
		return err
	}
	count, err := w.field32(b, 4)
	if err != nil {
		return err
	}
	at, dataAt := int64(8), int64(-1)
	if flags&runDataOffset != 0 {
		dataAt = at
		at += 4
	}
	if flags&runFirstFlags != 0 {
		at += 4
	}
	duration, size, first, err := w.runSums(s, b, flags, int64(count), at)
	if err != nil {
		return err
	}
	if dataAt >= 0 {
		v, err := w.field32(b, dataAt)
		if err != nil {
			return err
		}
		// A signed offset; a base or a sum that is out of range ends past any file.
		off := s.base + uint64(int64(int32(v)))
		if addCapped(off, size) > uint64(w.size) {
			return truncated("a fragment's index points past its end")
		}
		s.t.pictures.add(off, first)
	}
	f := &s.t.fragment
	if !f.seen {
		f.seen, f.begin = true, s.time
	}
	s.time = addCapped(s.time, duration)
	f.end = max(f.end, s.time)
	s.t.samples = addCapped(s.t.samples, uint64(count))
	return nil
}

// runSums adds up durations and sizes of a trun's samples; first is the size of the
// first one.
func (w *window) runSums(s *fragmentState, b box, flags uint32, count, at int64) (duration, size, first uint64, err error) {
	row, durationAt, sizeAt := int64(0), int64(-1), int64(-1)
	for _, f := range []struct {
		flag uint32
		at   *int64
	}{{runSampleDuration, &durationAt}, {runSampleSize, &sizeAt}, {runSampleFlags, nil}, {runSampleComposing, nil}} {
		if flags&f.flag == 0 {
			continue
		}
		if f.at != nil {
			*f.at = row
		}
		row += 4
	}
	if row*count > b.end-b.body-at {
		return 0, 0, 0, corrupt(`table "trun" claims more rows than it has`)
	}
	duration, size = uint64(s.duration)*uint64(count), uint64(s.size)*uint64(count)
	if count > 0 {
		first = uint64(s.size)
	}
	for _, column := range []struct {
		at  int64
		sum *uint64
	}{{durationAt, &duration}, {sizeAt, &size}} {
		if column.at < 0 {
			continue
		}
		*column.sum = 0
		for i := range count {
			v, err := w.u32(b.body + at + i*row + column.at)
			if err != nil {
				return 0, 0, 0, err
			}
			*column.sum += uint64(v)
			if column.sum == &size && i == 0 {
				first = uint64(v)
			}
		}
	}
	return duration, size, first, nil
}
