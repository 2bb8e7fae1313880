package seeder

import (
	"bytes"
	"testing"
)

func TestDownloadOverWebRTC(t *testing.T) {
	files := &shelf{}
	b := files.add(t, 3<<20+12345)
	s := start(t, Config{}, files)
	v := mustDial(t, s, b)
	v.greet()
	if got := v.download(); !bytes.Equal(got, b.data) {
		t.Error("other bytes than the file's")
	}
	if st := s.Stats(); st.WebRTCBytes != int64(len(b.data)) || st.WebRTCPeers != 1 || st.Torrents != 1 {
		t.Errorf("%+v", st)
	}
}
