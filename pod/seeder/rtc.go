package seeder

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/dtls/v2/pkg/crypto/fingerprint"
	"github.com/pion/dtls/v2/pkg/crypto/selfsign"
	"github.com/pion/ice/v2"
	"github.com/pion/logging"
	"github.com/pion/transport/v2"
	"github.com/pion/transport/v2/stdnet"
)

// rtcEngine makes peer connections that share the listener's ports.
type rtcEngine struct {
	net         transport.Net
	networks    []ice.NetworkType
	has         func(net.IP) bool // the address is bound
	udp         ice.UDPMux
	sockets     []*burstConn // under udp
	tcp         ice.TCPMux
	dtls        *dtls.Config
	lanes       *lanes
	fingerprint string   // of our certificate
	candidates  []string // lines of an answer
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
)

// cipherSuite is the only one we take: every browser has it (RFC 8827, 6.5).
const cipherSuite = dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256

// newEngine starts the muxes over l's sockets, which close ends.
func newEngine(l *rtcListener) (*rtcEngine, error) {
	// The interfaces are read once: agents are made many times a second.
	network, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	// One certificate for all: it names this run of the pod and nobody's visit.
	certificate, err := selfsign.GenerateSelfSigned()
	if err != nil {
		return nil, fmt.Errorf("make DTLS certificate: %w", err)
	}
	parsed, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read DTLS certificate: %w", err)
	}
	sum, err := fingerprint.Fingerprint(parsed, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sum DTLS certificate: %w", err)
	}

	silent := silence{}
	fast := &lanes{to: map[netip.AddrPort]*secureConn{}}
	sockets, muxes := make([]*burstConn, len(l.udp)), make([]ice.UDPMux, len(l.udp))
	for i, c := range l.udp {
		sockets[i] = newBurstConn(c, fast)
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{Logger: silent, UDPConn: sockets[i], Net: network})
	}
	return &rtcEngine{
		lanes: fast,
		net:   network, networks: l.networks(), has: l.has, candidates: l.candidates, fingerprint: strings.ToUpper(sum), // RFC 8122, 5: Firefox takes no other
		udp: ice.NewMultiUDPMuxDefault(muxes...), sockets: sockets,
		tcp: ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: l.tcp, Logger: silent, ReadBufferSize: tcpReadBuffer, WriteBufferSize: tcpWriteBuffer,
			FirstStunBindTimeout: tcpFirstBinding, AliveDurationForConnFromStun: tcpFirstBinding,
		}),
		dtls: &dtls.Config{
			Certificates: []tls.Certificate{certificate}, ClientAuth: dtls.RequireAnyClientCert, InsecureSkipVerify: true, // see connection.secure
			CipherSuites:  []dtls.CipherSuiteID{cipherSuite},
			LoggerFactory: silent,
			// Nobody sends media, but pion's PeerConnection wants it agreed upon.
			SRTPProtectionProfiles: []dtls.SRTPProtectionProfile{dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80},
		},
	}, nil
}

// agent is how a peer's ICE is done.
func (e *rtcEngine) agent() *ice.AgentConfig {
	disconnected, failed, keepAlive := iceDisconnected, iceFailed, iceKeepAlive
	return &ice.AgentConfig{
		UDPMux: e.udp, TCPMux: e.tcp, Net: e.net, NetworkTypes: e.networks, CandidateTypes: []ice.CandidateType{ice.CandidateTypeHost},
		IPFilter: e.has, IncludeLoopback: true, // of those the filter lets through
		DisableActiveTCP:    true, // an offer must not make the pod dial
		MulticastDNSMode:    ice.MulticastDNSModeDisabled,
		DisconnectedTimeout: &disconnected, FailedTimeout: &failed, KeepaliveInterval: &keepAlive,
		LoggerFactory: silence{},
	}
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

// networks are the kinds of candidates that fit the bound addresses.
func (l *rtcListener) networks() []ice.NetworkType {
	var four, six bool
	for _, ip := range l.ips {
		if ip.Is4() {
			four = true
		} else {
			six = true
		}
	}
	var n []ice.NetworkType
	if four {
		n = append(n, ice.NetworkTypeUDP4, ice.NetworkTypeTCP4)
	}
	if six {
		n = append(n, ice.NetworkTypeUDP6, ice.NetworkTypeTCP6)
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
