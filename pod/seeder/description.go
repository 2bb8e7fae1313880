package seeder

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/pion/dtls/v2/pkg/crypto/fingerprint"
	"github.com/pion/ice/v2"

	"kinopod/shared/announce"
	"kinopod/shared/torrent"
)

// description is what an offer of one data channel says (RFC 8839, 8842, 8841).
type description struct {
	ufrag, pwd   string      // of ICE
	fingerprints [][2]string // of DTLS: name of the hash, value
	passive      bool        // the other end begins with DTLS
	mid          string
	candidates   []ice.Candidate // those that are of use
}

// maxCandidates of an offer are used: more would make the pod send checks to
// whatever addresses somebody names.
const maxCandidates = 8

// parseOffer refuses what is not an offer of data channels alone. Candidates are left
// out that are of no use here: names of multicast DNS, TCP (a browser dials us), and
// those past maxCandidates. Without any, the browser still reaches us and becomes known
// as peer-reflexive.
func parseOffer(sdp string) (*description, error) {
	if len(sdp) > announce.MaxSDP {
		return nil, fmt.Errorf("an offer of %d bytes", len(sdp))
	}
	d, sections := &description{}, 0
	for line := range strings.Lines(sdp) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "m=") {
			if sections++; sections > 1 || !strings.HasPrefix(line, "m=application ") || !strings.Contains(line, "webrtc-datachannel") {
				return nil, errors.New("an offer of other than one data channel section")
			}
			continue
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		switch name {
		case "ice-ufrag":
			d.ufrag = value
		case "ice-pwd":
			d.pwd = value
		case "fingerprint":
			hash, sum, _ := strings.Cut(value, " ")
			d.fingerprints = append(d.fingerprints, [2]string{hash, sum})
		case "setup":
			d.passive = value == "active"
		case "mid":
			d.mid = value
		case "candidate":
			d.candidate(value)
		}
	}
	switch {
	case sections == 0:
		return nil, errors.New("an offer of nothing")
	case len(d.ufrag) < 4 || len(d.ufrag) > 256 || len(d.pwd) < 22 || len(d.pwd) > 256: // RFC 8839, 5.4
		return nil, errors.New("an offer without ICE")
	case len(d.fingerprints) == 0:
		return nil, errors.New("an offer without a fingerprint")
	case d.mid == "" || len(d.mid) > 64 || strings.ContainsAny(d.mid, "\r "):
		return nil, errors.New("an offer of a section without a name")
	}
	return d, nil
}

// candidate keeps a candidate that is of use.
func (d *description) candidate(value string) {
	f := strings.Fields(value)
	if len(f) < 8 || !strings.EqualFold(f[2], "udp") || strings.HasSuffix(f[4], ".local") || len(d.candidates) == maxCandidates {
		return
	}
	if c, err := ice.UnmarshalCandidate(value); err == nil {
		d.candidates = append(d.candidates, c)
	}
}

// vouchesFor says whether the offer names a certificate.
func (d *description) vouchesFor(certificate *x509.Certificate) bool {
	for _, f := range d.fingerprints {
		hash, err := fingerprint.HashFromString(f[0])
		if err != nil {
			continue
		}
		if sum, err := fingerprint.Fingerprint(certificate, hash); err == nil && strings.EqualFold(sum, f[1]) {
			return true
		}
	}
	return false
}

// A message of the data channel that a peer may send is at most peerMessage bytes; the
// answer says so. Every peer holds a buffer of this length. The bitfield of a torrent
// with many pieces is longer, up to maxPeerMessage.
const (
	peerMessage    = 8 << 10
	maxPeerMessage = 20 << 10
)

// longestMessage is what a peer of t may send at once, in bytes.
func longestMessage(t *torrent.Torrent) int {
	return min(max(peerMessage, t.Pieces()/8+1<<10), maxPeerMessage)
}

// answer describes our end, where messages have at most longest bytes. Its candidates
// are those of all addresses.
func (e *rtcEngine) answer(d *description, ufrag, pwd string, longest int) string {
	setup := "active"
	if d.passive {
		setup = "passive"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 %s\r\na=extmap-allow-mixed\r\na=group:BUNDLE %s\r\n"+
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=setup:%s\r\na=mid:%s\r\na=sendrecv\r\na=sctp-port:5000\r\n"+
		"a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=max-message-size:%d\r\n", e.fingerprint, d.mid, setup, d.mid, ufrag, pwd, longest)
	for _, c := range e.candidates {
		b.WriteString("a=" + c + "\r\n")
	}
	b.WriteString("a=end-of-candidates\r\n")
	return b.String()
}
