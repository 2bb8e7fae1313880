package seeder

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/logging"
	"github.com/pion/transport/v2/stdnet"
	"github.com/pion/webrtc/v3"

	"kinopod/shared/announce"
)

// rtcEngine makes peer connections that share the listener's ports.
type rtcEngine struct {
	api        *webrtc.API
	config     webrtc.Configuration
	udp        ice.UDPMux
	sockets    []*burstConn // under udp
	tcp        ice.TCPMux
	candidates []string // lines of an answer
}

// Times of ICE. A browser checks its consent to send every few seconds, so silence
// of iceDisconnected means that it is gone, or has another address now and will
// offer again. The pod is passive between: keep-alives are for a network that
// forgets who asked.
const (
	iceDisconnected = 10 * time.Second
	iceFailed       = 10 * time.Second
	iceKeepAlive    = 10 * time.Second
)

// Bounds of what a peer may make pion keep.
const (
	sctpReceiveBuffer = 256 << 10 // bytes received and not yet read
	tcpWriteBuffer    = 512 << 10 // bytes a TCP connection may be behind, datagrams beyond are dropped
	tcpReadBuffer     = 8         // datagrams
	tcpFirstBinding   = 10 * time.Second
	dtlsReplayWindow  = 128 // records
)

// newEngine starts the muxes over l's sockets, which close ends.
func newEngine(l *rtcListener) (*rtcEngine, error) {
	// The interfaces are read once: agents are made many times a second.
	network, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make DTLS key: %w", err)
	}
	// One certificate for all: it names this run of the pod and nobody's visit.
	certificate, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("make DTLS certificate: %w", err)
	}

	silent := silence{}
	sockets, muxes := make([]*burstConn, len(l.udp)), make([]ice.UDPMux, len(l.udp))
	for i, c := range l.udp {
		sockets[i] = newBurstConn(c)
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{Logger: silent, UDPConn: sockets[i], Net: network})
	}
	e := &rtcEngine{
		config: webrtc.Configuration{Certificates: []webrtc.Certificate{*certificate}},
		udp:    ice.NewMultiUDPMuxDefault(muxes...), sockets: sockets,
		tcp: ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: l.tcp, Logger: silent, ReadBufferSize: tcpReadBuffer, WriteBufferSize: tcpWriteBuffer,
			FirstStunBindTimeout: tcpFirstBinding, AliveDurationForConnFromStun: tcpFirstBinding,
		}),
		candidates: l.candidates,
	}

	var set webrtc.SettingEngine
	set.LoggerFactory = silent
	set.SetNet(network)
	set.SetICEUDPMux(e.udp)
	set.SetICETCPMux(e.tcp)
	set.DisableActiveTCP(true) // an offer must not make the pod dial
	set.SetNetworkTypes(l.networks())
	set.SetIPFilter(l.has)
	set.SetIncludeLoopbackCandidate(true) // of those the filter lets through
	set.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	set.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)
	set.SetDTLSReplayProtectionWindow(dtlsReplayWindow)
	set.SetSCTPMaxReceiveBufferSize(sctpReceiveBuffer)
	set.DetachDataChannels()
	e.api = webrtc.NewAPI(webrtc.WithSettingEngine(set))
	return e, nil
}

// close frees the ports and waits for those who use them.
func (e *rtcEngine) close() {
	_ = e.udp.Close()
	_ = e.tcp.Close()
	for _, c := range e.sockets {
		_ = c.Close()
		<-c.ended
	}
}

// maxCandidates of an offer are used: more would make the pod send checks to
// whatever addresses somebody names.
const maxCandidates = 8

// checkOffer refuses what is not an offer of data channels alone, before anything
// is kept for it.
func checkOffer(sdp string) error {
	if len(sdp) > announce.MaxSDP {
		return fmt.Errorf("an offer of %d bytes", len(sdp))
	}
	media := 0
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, "m=") {
			continue
		}
		if media++; media > 1 || !strings.HasPrefix(line, "m=application ") {
			return errors.New("an offer of other than one data channel section")
		}
	}
	if media == 0 {
		return errors.New("an offer of nothing")
	}
	return nil
}

// usableOffer leaves out candidates that are of no use here: names of multicast DNS,
// TCP (a browser dials us), and those past maxCandidates. Without any, the browser
// still reaches us and becomes known as peer-reflexive.
func usableOffer(sdp string) string {
	var b strings.Builder
	n := 0
	for line := range strings.Lines(sdp) {
		if strings.HasPrefix(line, "a=candidate:") {
			f := strings.Fields(line)
			if len(f) < 8 || !strings.EqualFold(f[2], "udp") || strings.HasSuffix(f[4], ".local") || n == maxCandidates {
				continue
			}
			n++
		}
		b.WriteString(line)
	}
	return b.String()
}

// maxPeerMessage is the longest message of the data channel that a peer may send, in
// bytes; the answer says so. The longest of a viewer's is the bitfield of a torrent
// with the most pieces. Every peer holds a buffer of this length.
const maxPeerMessage = 20 << 10

// complete gives an answer the candidates of all addresses in place of pion's.
func (e *rtcEngine) complete(sdp string) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		if !strings.HasPrefix(line, "a=candidate:") && !strings.HasPrefix(line, "a=end-of-candidates") {
			b.WriteString(line)
		}
	}
	fmt.Fprintf(&b, "a=max-message-size:%d\r\n", maxPeerMessage)
	for _, c := range e.candidates {
		b.WriteString("a=" + c + "\r\n")
	}
	b.WriteString("a=end-of-candidates\r\n")
	return b.String()
}

// networks are the kinds of candidates that fit the bound addresses.
func (l *rtcListener) networks() []webrtc.NetworkType {
	var four, six bool
	for _, ip := range l.ips {
		if ip.Is4() {
			four = true
		} else {
			six = true
		}
	}
	var n []webrtc.NetworkType
	if four {
		n = append(n, webrtc.NetworkTypeUDP4, webrtc.NetworkTypeTCP4)
	}
	if six {
		n = append(n, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP6)
	}
	return n
}

// silence is where pion logs to: its messages carry addresses of viewers, and what
// an operator needs of them is in Stats.
type silence struct{}

var (
	_ logging.LoggerFactory = silence{}
	_ logging.LeveledLogger = silence{}
	_ net.Listener          = (*tcpListener)(nil)
)

func (silence) NewLogger(string) logging.LeveledLogger { return silence{} }
func (silence) Trace(string)                           {}
func (silence) Tracef(string, ...any)                  {}
func (silence) Debug(string)                           {}
func (silence) Debugf(string, ...any)                  {}
func (silence) Info(string)                            {}
func (silence) Infof(string, ...any)                   {}
func (silence) Warn(string)                            {}
func (silence) Warnf(string, ...any)                   {}
func (silence) Error(string)                           {}
func (silence) Errorf(string, ...any)                  {}
