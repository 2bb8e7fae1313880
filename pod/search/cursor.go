package search

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
)

// A cursor has what makes the ranks of a search what they are, and the last hit of a
// page. In order: version, two bytes of a check sum of the query, time (uint32), words
// that may have a wrong letter (uint32), the words' weights, rank and id (uvarint).
const cursorVersion = 1

func (q Query) sum() uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(q.String()))
	return uint16(h.Sum32())
}

func (p *plan) cursor(q Query, last hit) string {
	b := []byte{cursorVersion}
	b = binary.LittleEndian.AppendUint16(b, q.sum())
	b = binary.LittleEndian.AppendUint32(b, p.now)
	b = binary.LittleEndian.AppendUint32(b, p.wrong)
	b = append(b, p.weights...)
	b = binary.AppendUvarint(b, last.rank)
	b = binary.AppendUvarint(b, uint64(last.id))
	return base64.RawURLEncoding.EncodeToString(b)
}

// resume sets what a cursor holds, and answers behind which hit the page begins.
func (p *plan) resume(cursor string, q Query) (after hit, err error) {
	after = hit{rank: ^uint64(0)}
	if cursor == "" {
		return after, nil
	}
	const fixed = 1 + 2 + 4 + 4
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < fixed+p.counted || b[0] != cursorVersion || binary.LittleEndian.Uint16(b[1:]) != q.sum() {
		return hit{}, ErrCursor
	}
	p.at(q, binary.LittleEndian.Uint32(b[3:]))
	p.wrong = binary.LittleEndian.Uint32(b[7:])
	p.weights = append([]uint8{}, b[fixed:fixed+p.counted]...)
	b = b[fixed+p.counted:]
	rank, n := binary.Uvarint(b)
	if n <= 0 {
		return hit{}, ErrCursor
	}
	id, m := binary.Uvarint(b[n:])
	if m <= 0 || n+m != len(b) || id > 1<<32-1 {
		return hit{}, ErrCursor
	}
	return hit{rank, uint32(id)}, nil
}
