package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/warrenmq/warren/internal/secret"
)

const (
	clusterKeySize = 32
	sealNonce      = 12
	sealVersion    = 1
)

// A clusterKey opens the sealed key of the authority. Voters hold it, in a file
// of its own.
type clusterKey struct {
	text secret.String // the 32 bytes
	aead cipher.AEAD
}

func newClusterKey(r io.Reader) (*clusterKey, error) {
	key := make([]byte, clusterKeySize)
	if _, err := io.ReadFull(r, key); err != nil {
		return nil, fmt.Errorf("transport: draw the cluster key: %w", err)
	}
	return parseClusterKey(secret.New(string(key)))
}

func parseClusterKey(text secret.String) (*clusterKey, error) {
	key := []byte(text.Reveal())
	if len(key) != clusterKeySize {
		return nil, fmt.Errorf("transport: a cluster key has %d bytes, this one %d", clusterKeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("transport: cluster key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("transport: cluster key: %w", err)
	}
	return &clusterKey{text: text, aead: aead}, nil
}

// seal returns version | nonce | AES-256-GCM of the authority's seed. The
// cluster and the authority's certificate are authenticated with it.
func (k *clusterKey) seal(a *authority, cluster uint64, r io.Reader) ([]byte, error) {
	out := make([]byte, 1+sealNonce, 1+sealNonce+ed25519.SeedSize+k.aead.Overhead())
	out[0] = sealVersion
	if _, err := io.ReadFull(r, out[1:]); err != nil {
		return nil, fmt.Errorf("transport: draw a nonce: %w", err)
	}
	return k.aead.Seal(out, out[1:], a.key.Seed(), sealContext(cluster, a.cert)), nil
}

func (k *clusterKey) open(sealed []byte, cluster uint64, cert *x509.Certificate) (*authority, error) {
	if len(sealed) < 1+sealNonce || sealed[0] != sealVersion {
		return nil, errors.New("transport: the sealed key of the authority is of another version, or cut short")
	}
	seed, err := k.aead.Open(nil, sealed[1:1+sealNonce], sealed[1+sealNonce:], sealContext(cluster, cert))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("transport: the cluster key does not open the sealed key of this cluster's authority")
	}
	key := ed25519.NewKeyFromSeed(seed)
	if !key.Public().(ed25519.PublicKey).Equal(cert.PublicKey) {
		return nil, errors.New("transport: the sealed key is of another authority")
	}
	return &authority{cert: cert, key: key}, nil
}

func sealContext(cluster uint64, cert *x509.Certificate) []byte {
	sum := sha256.Sum256(cert.Raw)
	out := append([]byte("warren authority"), sum[:]...)
	return binary.BigEndian.AppendUint64(out, cluster)
}

// AuthorityKey is the authority's key as it travels to voters: sealed, and what
// opens it.
type AuthorityKey struct {
	Sealed []byte
	Opens  secret.String
}

// AuthorityKey returns what another voter needs to issue certificates.
func (t *Trust) AuthorityKey() (AuthorityKey, error) {
	id := t.now.Load()
	if id.seal == nil || id.sealed == nil {
		return AuthorityKey{}, ErrNoAuthority
	}
	return AuthorityKey{Sealed: id.sealed, Opens: id.seal.text}, nil
}

// TakeAuthorityKey makes this node one that issues certificates. The caller
// saves the Trust.
func (t *Trust) TakeAuthorityKey(k AuthorityKey) error {
	seal, err := parseClusterKey(k.Opens)
	if err != nil {
		return err
	}
	return t.change(func(id *identity) error {
		id.sealed, id.seal = k.Sealed, seal
		return nil
	})
}
