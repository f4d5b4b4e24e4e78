package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/warrenmq/warren/internal/secret"
)

// A Cookie is the secret that admits new nodes to a cluster, and nothing else.
type Cookie struct {
	text secret.String

	mu struct {
		sync.Mutex
		keys map[uint64][]byte // stretched, by cluster
	}
}

const (
	// shortCookie is how many characters a cookie has at least, unless it is
	// allowed to be shorter. One that RabbitMQ's packages make has 20.
	shortCookie = 16
	maxCookie   = 4 << 10
	// maxStretched is of how many clusters, formed or not, the key is kept.
	maxStretched = 64
)

// ErrShortCookie is returned for a cookie that can be guessed.
var ErrShortCookie = errors.New("transport: the cookie is short enough to be guessed")

// NewCookie returns a cookie of the text. One that is short is refused unless
// that is allowed.
func NewCookie(text secret.String, allowShort bool) (*Cookie, error) {
	switch n := len(text.Reveal()); {
	case n == 0:
		return nil, errors.New("transport: the cookie is empty")
	case n > maxCookie:
		return nil, fmt.Errorf("transport: the cookie has %d bytes, at most %d", n, maxCookie)
	case n < shortCookie && !allowShort:
		return nil, fmt.Errorf("%w: %d characters, want at least %d", ErrShortCookie, n, shortCookie)
	}
	return &Cookie{text: text}, nil
}

// String returns a mask.
func (c *Cookie) String() string { return secret.Mask }

// GoString returns a mask.
func (c *Cookie) GoString() string { return secret.Mask }

// Roles in a proof, so that one side's cannot be sent back as the other's.
const (
	roleJoiner = "warren join: joiner"
	roleMember = "warren join: member"
	roleKey    = "warren join: key"
)

// stretched returns the key that proofs are made with. A guess at the cookie
// costs whoever overheard a proof 19 MiB and some tens of milliseconds.
func (c *Cookie) stretched(cluster uint64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key := c.mu.keys[cluster]; key != nil {
		return key
	}
	salt := binary.BigEndian.AppendUint64([]byte("warren cookie 1 "), cluster)
	key := argon2.IDKey([]byte(c.text.Reveal()), salt, 2, 19<<10, 1, sha256.Size)
	if c.mu.keys == nil || len(c.mu.keys) >= maxStretched {
		c.mu.keys = make(map[uint64][]byte)
	}
	c.mu.keys[cluster] = key
	return key
}

// prove returns what a side shows to prove that it has the cookie, on this
// connection and on no other.
func (c *Cookie) prove(cluster uint64, role string, cs *tls.ConnectionState) ([]byte, error) {
	binding, err := bind(cs)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, c.stretched(cluster))
	h.Write([]byte(role))
	h.Write(binding)
	return h.Sum(nil), nil
}

// bind returns what both ends of one TLS connection know and nobody else
// (RFC 9266, tls-exporter): a relay has two connections, with one each.
func bind(cs *tls.ConnectionState) ([]byte, error) {
	if cs.Version < tls.VersionTLS13 {
		return nil, errors.New("transport: the proof needs TLS 1.3")
	}
	binding, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil, fmt.Errorf("transport: bind to the connection: %w", err)
	}
	return binding, nil
}

// keyProof is what a node signs to show that it has the key it asks a
// certificate for.
func keyProof(cs *tls.ConnectionState) ([]byte, error) {
	binding, err := bind(cs)
	if err != nil {
		return nil, err
	}
	return append([]byte(roleKey), binding...), nil
}
