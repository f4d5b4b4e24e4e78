package transport

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// Trust is what a node proves itself with and what it believes: the cluster's
// authority, its own certificate and key, and, on voters, the authority's key,
// sealed. It may be used from any goroutine.
type Trust struct {
	cluster, node uint64
	now           atomic.Pointer[identity]
}

// An identity is one state of a Trust; it does not change.
type identity struct {
	authority *x509.Certificate
	pool      *x509.CertPool
	cert      *x509.Certificate
	key       ed25519.PrivateKey
	sealed    []byte      // the authority's key, sealed; nil unless held
	seal      *clusterKey // opens it; nil unless held
}

// Errors of verification that callers tell apart.
var (
	// ErrNotTrusted is returned when the other side's certificate is not of
	// this cluster, or not of the node that was expected.
	ErrNotTrusted = errors.New("transport: not trusted")
	// ErrNoAuthority is returned by a node that does not hold the authority's
	// key.
	ErrNoAuthority = errors.New("transport: this node does not hold the key of the cluster's authority")
)

// Founder says what a new cluster begins with.
type Founder struct {
	Cluster, Node uint64
	Now           time.Time
	Rand          io.Reader
}

// Found makes a new authority and the founder's certificate.
func Found(f Founder) (*Trust, error) {
	seal, err := newClusterKey(f.Rand)
	if err != nil {
		return nil, err
	}
	a, err := newAuthority(f.Cluster, f.Now, f.Rand)
	if err != nil {
		return nil, err
	}
	sealed, err := seal.seal(a, f.Cluster, f.Rand)
	if err != nil {
		return nil, err
	}
	key, err := newKey(f.Rand)
	if err != nil {
		return nil, err
	}
	der, err := a.issue(f.Cluster, f.Node, key.Public().(ed25519.PublicKey), f.Now, f.Rand)
	if err != nil {
		return nil, err
	}
	id := identity{authority: a.cert, key: key, sealed: sealed, seal: seal}
	return newTrust(id, der)
}

// newTrust checks that the parts belong together. The cluster and the node are
// those that the certificate names.
func newTrust(id identity, der []byte) (*Trust, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("transport: the node's certificate: %w", err)
	}
	id.cert = cert
	id.pool = x509.NewCertPool()
	id.pool.AddCert(id.authority)
	cluster, node, err := nameOf(cert)
	if err != nil {
		return nil, err
	}
	t := &Trust{cluster: cluster, node: node}
	if err := id.check(t); err != nil {
		return nil, err
	}
	t.now.Store(&id)
	return t, nil
}

// check holds the parts against each other, at a time when all are valid.
func (id *identity) check(t *Trust) error {
	if !id.key.Public().(ed25519.PublicKey).Equal(id.cert.PublicKey) {
		return errors.New("transport: the node's key is not that of its certificate")
	}
	if err := verify(id, t.cluster, id.cert, id.cert.NotBefore); err != nil {
		return fmt.Errorf("transport: the node's own certificate: %w", err)
	}
	if id.seal != nil && id.sealed != nil {
		if _, err := id.seal.open(id.sealed, t.cluster, id.authority); err != nil {
			return err
		}
	}
	return nil
}

// Cluster returns the cluster's id.
func (t *Trust) Cluster() uint64 { return t.cluster }

// Node returns the node's id.
func (t *Trust) Node() uint64 { return t.node }

// HoldsAuthority reports whether the node can issue certificates.
func (t *Trust) HoldsAuthority() bool {
	id := t.now.Load()
	return id.seal != nil && id.sealed != nil
}

// Expires returns when the node's certificate ends.
func (t *Trust) Expires() time.Time { return t.now.Load().cert.NotAfter }

// RenewAt returns when the node should have a new certificate.
func (t *Trust) RenewAt() time.Time {
	c := t.now.Load().cert
	return c.NotAfter.Add(-nodeLife / 5)
}

// Issue makes a certificate for a node's public key.
func (t *Trust) Issue(node uint64, key ed25519.PublicKey, now time.Time, rand io.Reader) ([]byte, error) {
	id := t.now.Load()
	if id.seal == nil || id.sealed == nil {
		return nil, ErrNoAuthority
	}
	a, err := id.seal.open(id.sealed, t.cluster, id.authority)
	if err != nil {
		return nil, err
	}
	return a.issue(t.cluster, node, key, now, rand)
}

// Replace puts a new certificate, and the key it is for, in the place of the
// node's. Connections made from now on use it; the caller saves the Trust.
func (t *Trust) Replace(cert []byte, key ed25519.PrivateKey) error {
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		return fmt.Errorf("transport: the new certificate: %w", err)
	}
	return t.change(func(id *identity) error {
		id.cert, id.key = parsed, key
		_, node, err := nameOf(parsed)
		if err == nil && node != t.node {
			err = fmt.Errorf("%w: the new certificate is of node %016x", ErrNotTrusted, node)
		}
		return err
	})
}

// change replaces the identity by a changed copy that passes its checks.
func (t *Trust) change(f func(*identity) error) error {
	for {
		old := t.now.Load()
		next := *old
		if err := f(&next); err != nil {
			return err
		}
		if err := next.check(t); err != nil {
			return err
		}
		if t.now.CompareAndSwap(old, &next) {
			return nil
		}
	}
}

// certificate returns what the node shows the other side.
func (t *Trust) certificate() *tls.Certificate {
	id := t.now.Load()
	return &tls.Certificate{Certificate: [][]byte{id.cert.Raw}, PrivateKey: id.key, Leaf: id.cert}
}

// identify checks a connection's certificate and returns the node it names.
func (t *Trust) identify(cs *tls.ConnectionState, now time.Time) (uint64, error) {
	if len(cs.PeerCertificates) != 1 {
		return 0, fmt.Errorf("%w: %d certificates, want the node's alone", ErrNotTrusted, len(cs.PeerCertificates))
	}
	cert := cs.PeerCertificates[0]
	if err := verify(t.now.Load(), t.cluster, cert, now); err != nil {
		return 0, err
	}
	_, node, err := nameOf(cert)
	return node, err
}

// verify checks that the cluster's authority issued a certificate to one of its
// nodes, and that its time is now.
func verify(id *identity, cluster uint64, cert *x509.Certificate, now time.Time) error {
	named, _, err := nameOf(cert)
	switch {
	case err != nil:
		return err
	case named != cluster:
		return fmt.Errorf("%w: a certificate of cluster %016x, this is %016x", ErrNotTrusted, named, cluster)
	case cert.IsCA:
		return fmt.Errorf("%w: an authority's certificate is no node's", ErrNotTrusted)
	case cert.PublicKeyAlgorithm != x509.Ed25519:
		return fmt.Errorf("%w: a key of kind %v", ErrNotTrusted, cert.PublicKeyAlgorithm)
	}
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: id.pool, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotTrusted, err)
	}
	return nil
}

// nameOf reads warren://<cluster>/<node>, which is the only name a node's
// certificate has.
func nameOf(cert *x509.Certificate) (cluster, node uint64, err error) {
	if len(cert.URIs) != 1 || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) != 0 {
		return 0, 0, fmt.Errorf("%w: the certificate does not name one node", ErrNotTrusted)
	}
	text := cert.URIs[0].String()
	rest, ok := strings.CutPrefix(text, "warren://")
	c, n, cut := strings.Cut(rest, "/")
	cluster, okC := parseID(c)
	node, okN := parseID(n)
	if !ok || !cut || !okC || !okN {
		return 0, 0, fmt.Errorf("%w: %q is not the name of a node", ErrNotTrusted, text)
	}
	return cluster, node, nil
}
