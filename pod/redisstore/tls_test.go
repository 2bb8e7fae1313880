package redisstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinopod/pod/catalog/catalogtest"
)

const certFile, keyFile = "cert.pem", "key.pem"

// writeCertificate makes one for 127.0.0.1, signed by itself.
func writeCertificate(dir string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	write := func(name, kind string, b []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600)
	}
	return errors.Join(write(certFile, "CERTIFICATE", cert), write(keyFile, "PRIVATE KEY", key))
}

// startTLS starts a server that shows the certificate in dir, and gives its URL.
func startTLS(t *testing.T, dir string) string {
	t.Helper()
	port := freePort(t)
	startServer(t, "port 0", "tls-port "+port, "tls-cert-file "+filepath.Join(dir, certFile), "tls-key-file "+filepath.Join(dir, keyFile), "tls-auth-clients no")
	return "rediss://127.0.0.1:" + port
}

func TestTLS(t *testing.T) {
	db := open(t, startTLS(t, trusted))
	if _, err := db.Add(t.Context(), catalogtest.NewVideo(1)); err != nil {
		t.Error(err)
	}

	stranger := t.TempDir()
	if err := writeCertificate(stranger); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := Open(ctx, startTLS(t, stranger), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger's certificate: %v", err)
	}
}
