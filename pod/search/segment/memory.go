package segment

// memory is bytes that are written once, from the front. Much of it lies outside of
// Go's heap: the collector would let a heap that holds a hundred megabytes of index grow
// to twice of that before it looks for garbage.
type memory struct {
	b      []byte // what is written
	mapped []byte // what is to be given back, nil for memory of the heap
}

// small is what is not worth a mapping of its own.
const small = 1 << 18

// reserve is memory that most likely will do. Where it does not, it is copied; what is
// reserved and never written costs nothing.
func reserve(n int) *memory {
	if n >= small {
		if m := mapAnonymous(n); m != nil {
			return &memory{b: m[:0], mapped: m}
		}
	}
	return &memory{b: make([]byte, 0, n)}
}

// room makes room for n bytes more.
func (m *memory) room(n int) {
	if cap(m.b)-len(m.b) >= n {
		return
	}
	bigger := reserve(max(2*cap(m.b), len(m.b)+n))
	bigger.b = append(bigger.b, m.b...)
	m.free()
	*m = *bigger
}

func (m *memory) free() {
	if m.mapped != nil {
		unmap(m.mapped)
	}
	m.b, m.mapped = nil, nil
}
