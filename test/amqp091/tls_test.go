package amqp091_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/node"
)

// certificate writes a certificate for 127.0.0.1 that vouches for itself, with
// common names, if any.
func certificate(t *testing.T, names ...string) (files listener.TLS, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.Join(names, ",")}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files.Cert, files.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, b := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	return files, pool
}

// The same over TLS, with bodies that are written from where they are.
func TestTLS(t *testing.T) {
	t.Parallel()
	files, pool := certificate(t)
	r := own(t, func(o *node.Options) {
		o.TLS = files
		o.Listen = append(o.Listen, node.Listen{Protocol: "amqps", Addr: "127.0.0.1:0"})
	})
	nc, err := tls.Dial("tcp", r.Addrs()["amqps"], &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, nc)
	p.open(nil)
	p.channel(1)
	q := p.queue(1, "")
	for _, size := range []int{0, 10, 100_000, 3 << 20} {
		body := strings.Repeat("tls ", size/4)
		p.to(1, q, body)
		if got, _ := p.get(1, q, true); got != body {
			t.Errorf("body of %d bytes came as %d", len(body), len(got))
		}
	}
	p.close()
}
