package transport

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"strconv"
	"time"
)

const (
	// A certificate is valid from long before it is made: a machine whose clock
	// stands behind must not keep a node out.
	backdate      = 365 * 24 * time.Hour
	nodeLife      = 5 * 365 * 24 * time.Hour
	authorityLife = 100 * 365 * 24 * time.Hour
)

// An authority is the cluster's certificate authority with its key at hand. It
// lives for one signature; what is kept is sealed.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newKey(r io.Reader) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(r, seed); err != nil {
		return nil, fmt.Errorf("transport: draw a key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func newSerial(r io.Reader) (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("transport: draw a serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and of one length
	return new(big.Int).SetBytes(b), nil
}

func newAuthority(cluster uint64, now time.Time, r io.Reader) (*authority, error) {
	key, err := newKey(r)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial(r)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "warren cluster " + idText(cluster)},
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("transport: make the cluster's authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("transport: read the cluster's authority: %w", err)
	}
	return &authority{cert: cert, key: key}, nil
}

// issue makes the certificate of a node. Ed25519 signatures draw nothing, so
// the result depends on r alone.
func (a *authority) issue(cluster, node uint64, pub ed25519.PublicKey, now time.Time, r io.Reader) ([]byte, error) {
	if len(pub) != ed25519.PublicKeySize || node == 0 {
		return nil, errors.New("transport: not a node's key")
	}
	serial, err := newSerial(r)
	if err != nil {
		return nil, err
	}
	from := now.Add(-backdate)
	if from.Before(a.cert.NotBefore) {
		from = a.cert.NotBefore // of a clock far behind the founder's
	}
	name := &url.URL{Scheme: "warren", Host: idText(cluster), Path: "/" + idText(node)}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "warren node " + idText(node)},
		NotBefore:    from, NotAfter: now.Add(nodeLife),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:                  []*url.URL{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("transport: issue a certificate: %w", err)
	}
	return der, nil
}

func idText(id uint64) string { return fmt.Sprintf("%016x", id) }

func parseID(text string) (uint64, bool) {
	id, err := strconv.ParseUint(text, 16, 64)
	return id, err == nil && id != 0 && idText(id) == text
}
