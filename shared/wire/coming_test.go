package wire

import (
	"encoding/hex"
	"testing"
)

// The bytes of version 1: another release has to read them.
func TestComingGolden(t *testing.T) {
	m := ComingMessage{At: 7, First: 256, End: 260}
	const golden = "0000000e1402000000070000010000000104"
	if got := hex.EncodeToString(m.Message(ComingID).Append(nil)); got != golden {
		t.Errorf("%s, not %s", got, golden)
	}
}

func FuzzComing(f *testing.F) {
	f.Add(ComingMessage{At: 7, First: 256, End: 260}.Message(ComingID).Data)
	f.Add([]byte("0123456789ab"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseComing(b)
		if err != nil {
			return
		}
		if m.End < m.First {
			t.Errorf("%+v", m)
		}
		if back, err := ParseComing(m.Message(ComingID).Data); err != nil || back != m {
			t.Errorf("%+v became %+v, %v", m, back, err)
		}
	})
}
