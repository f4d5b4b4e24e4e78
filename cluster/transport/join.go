package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
)

// The conversation of a join, on a TLS connection whose ends do not know each
// other yet. Either side may refuse instead of going on.
//
//	joiner: hello      "WRNJ" | major u16 | minor u16
//	member: cluster    "WRNJ" | major u16 | minor u16 | cluster u64
//	joiner: proof      HMAC, role joiner     who asks proves first: a member
//	member: proof      HMAC, role member     gives nobody anything to guess at
//	joiner: request    key, signature, node, name, addr, attrs
//	member: admission  certificates, generation, peers, and to a voter the
//	                   authority's key
//
// Or, instead of the last two, a probe and what the node answers it.
const (
	joinMagic    = "WRNJ"
	maxJoinFrame = 512 << 10
	maxAttrs     = 64
	admitTime    = 60 * time.Second // that a member may take to make a node known
)

// A JoinRequest is what a node says of itself when it joins.
type JoinRequest struct {
	Node uint64
	Name string
	Addr string // where the others reach it
	// Attrs are for whoever decides: at most 64, of 1 KiB each.
	Attrs map[string]string
}

// An Admission is what the cluster says to a node that it takes.
type Admission struct {
	Generation uint64
	Peers      []Peer // the members
	// Voter gives the node the authority's key: it will admit others.
	Voter bool
}

// JoinOptions say how to join.
type JoinOptions struct {
	Addr    string // of a member
	Cookie  *Cookie
	Request JoinRequest

	Dial  func(ctx context.Context, addr string) (net.Conn, error) // as in Options
	Clock clock.Clock
	Rand  io.Reader
}

// Join asks a member to take this node into its cluster. It returns what the
// cluster said and the trust to work with, which the caller saves before it
// uses it. A *Refusal tells why not.
func Join(ctx context.Context, o JoinOptions) (Admission, *Trust, error) {
	a, trust, err := join(ctx, o)
	if err != nil {
		return Admission{}, nil, fmt.Errorf("transport: join through %s: %w", o.Addr, err)
	}
	return a, trust, nil
}

func join(ctx context.Context, o JoinOptions) (a Admission, trust *Trust, err error) {
	if o.Request.Node == 0 {
		return a, nil, errors.New("a node's id is needed")
	}
	if err := o.Request.validate(); err != nil {
		return a, nil, err
	}
	err = ask(ctx, o, func(j *joiner, expiry clock.Timer) error {
		a, trust, err = j.join(expiry)
		return err
	})
	return a, trust, err
}

// Probe asks a node that has the same cookie what its Options.Probe answers, be
// it of a cluster or not yet. The Request plays no part.
func Probe(ctx context.Context, o JoinOptions) ([]byte, error) {
	var answer []byte
	err := ask(ctx, o, func(j *joiner, _ clock.Timer) (err error) {
		if err := writeOne(j.c, typeProbe, nil); err != nil {
			return err
		}
		answer, err = readOne(j.c, typeProbed, maxHandshake)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("transport: probe %s: %w", o.Addr, err)
	}
	return answer, nil
}

// ask dials, proves the cookie, and does what is to be done then.
func ask(ctx context.Context, o JoinOptions, then func(*joiner, clock.Timer) error) error {
	if o.Cookie == nil {
		return errors.New("a cookie is needed")
	}
	d := Options{Dial: o.Dial, Clock: o.Clock, Rand: o.Rand}.withDefaults()
	nc, err := d.Dial(ctx, o.Addr)
	if err != nil {
		return err
	}
	s := newSocket(nc, d.Clock)
	expiry := s.expire(handshakeTime)
	defer expiry.Stop()
	stop := context.AfterFunc(ctx, func() { s.fail(ctx.Err()) })
	defer stop()
	cfg := baseTLS(alpnJoin)
	cfg.Time = d.Clock.Now
	cfg.InsecureSkipVerify = true //nolint:gosec // the cookie's proof on this very connection takes its place
	c := &conn{Conn: tls.Client(s, cfg), sock: s}
	defer c.fail(errEnded)
	j := &joiner{c: c, o: o, rand: d.Rand}
	if err = j.meet(ctx); err == nil {
		err = then(j, expiry)
	}
	if err != nil {
		return c.err(err)
	}
	return nil
}

// A joiner is the asking side of one join.
type joiner struct {
	c       *conn
	o       JoinOptions
	rand    io.Reader
	cluster uint64
}

func (j *joiner) meet(ctx context.Context) error {
	if err := j.c.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	cs := j.c.ConnectionState()
	if cs.NegotiatedProtocol != alpnJoin {
		return errors.New("it admits no nodes")
	}
	return j.prove(&cs)
}

func (j *joiner) join(expiry clock.Timer) (Admission, *Trust, error) {
	cs := j.c.ConnectionState()
	key, err := newKey(j.rand)
	if err != nil {
		return Admission{}, nil, err
	}
	text, err := keyProof(&cs)
	if err != nil {
		return Admission{}, nil, err
	}
	if err := writeOne(j.c, typeJoinRequest, j.o.Request.marshal(key, ed25519.Sign(key, text))); err != nil {
		return Admission{}, nil, fmt.Errorf("ask: %w", err)
	}
	expiry.Reset(admitTime)
	j.c.sock.budget.Store(maxJoinFrame + handshakeBytes)
	b, err := readOne(j.c, typeJoinAdmission, maxJoinFrame)
	if err != nil {
		return Admission{}, nil, fmt.Errorf("wait to be admitted: %w", err)
	}
	return j.take(b, key, &cs)
}

// prove learns which cluster it is, and that both have its cookie.
func (j *joiner) prove(cs *tls.ConnectionState) error {
	if err := writeOne(j.c, typeJoinHello, joinVersion()); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	b, err := readOne(j.c, typeJoinCluster, maxHandshake)
	if err != nil {
		return fmt.Errorf("wait for the cluster's id: %w", err)
	}
	s := scan{b: b}
	if err := checkJoinVersion(&s); err != nil {
		return err
	}
	if j.cluster = s.u64(); s.bad || j.cluster == 0 {
		return fmt.Errorf("the cluster's id: %w", errShort)
	}
	mine, err := j.o.Cookie.prove(j.cluster, roleJoiner, cs)
	if err != nil {
		return err
	}
	if err := writeOne(j.c, typeJoinProof, mine); err != nil {
		return fmt.Errorf("prove the cookie: %w", err)
	}
	theirs, err := readOne(j.c, typeJoinProof, maxHandshake)
	if err != nil {
		return fmt.Errorf("wait for the member's proof: %w", err)
	}
	want, err := j.o.Cookie.prove(j.cluster, roleMember, cs)
	if err != nil {
		return err
	}
	if !hmac.Equal(theirs, want) {
		return fmt.Errorf("%w: it does not have the cookie", ErrNotTrusted)
	}
	return nil
}

// take makes a Trust of the admission. The member that proved the cookie must
// be the one whose certificate opened the connection, of the authority it gives.
func (j *joiner) take(b []byte, key ed25519.PrivateKey, cs *tls.ConnectionState) (Admission, *Trust, error) {
	m, err := parseAdmission(b)
	if err != nil {
		return Admission{}, nil, err
	}
	id := identity{key: key}
	if id.authority, err = x509.ParseCertificate(m.authority); err != nil {
		return Admission{}, nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	if m.Voter {
		id.sealed = m.key.Sealed
		if id.seal, err = parseClusterKey(m.key.Opens); err != nil {
			return Admission{}, nil, err
		}
	}
	t, err := newTrust(id, m.cert)
	if err != nil {
		return Admission{}, nil, err
	}
	if t.cluster != j.cluster || t.node != j.o.Request.Node {
		return Admission{}, nil, fmt.Errorf("%w: the certificate is for node %016x of cluster %016x", ErrNotTrusted, t.node, t.cluster)
	}
	if _, err := t.identify(cs, t.now.Load().cert.NotBefore.Add(backdate)); err != nil {
		return Admission{}, nil, fmt.Errorf("the member's own certificate: %w", err)
	}
	return m.Admission, t, nil
}

func joinVersion() []byte {
	b := append(make([]byte, 0, 16), joinMagic...)
	b = binary.BigEndian.AppendUint16(b, versionMajor)
	return binary.BigEndian.AppendUint16(b, versionMinor)
}

func checkJoinVersion(s *scan) error {
	if string(s.take(len(joinMagic))) != joinMagic {
		return fmt.Errorf("%w: no hello of a join", errFrame)
	}
	major, _ := s.u16(), s.u16()
	if s.bad {
		return fmt.Errorf("hello of a join: %w", errShort)
	}
	if major != versionMajor {
		return refuse(RefusedVersion, "versions %d and %d do not join: update the older one", versionMajor, major)
	}
	return nil
}

func (r JoinRequest) validate() error {
	texts := []string{r.Name, r.Addr}
	for k, v := range r.Attrs {
		texts = append(texts, k, v)
	}
	for _, t := range texts {
		if len(t) > maxText {
			return fmt.Errorf("a text of %d bytes, at most %d", len(t), maxText)
		}
	}
	if len(r.Attrs) > maxAttrs {
		return fmt.Errorf("%d attributes, at most %d", len(r.Attrs), maxAttrs)
	}
	return nil
}

func (r JoinRequest) marshal(key ed25519.PrivateKey, signature []byte) []byte {
	b := append([]byte(nil), key.Public().(ed25519.PublicKey)...)
	b = append(b, signature...)
	b = binary.BigEndian.AppendUint64(b, r.Node)
	b = appendText(appendText(b, r.Name), r.Addr)
	b = binary.AppendUvarint(b, uint64(len(r.Attrs)))
	for k, v := range r.Attrs {
		b = appendText(appendText(b, k), v)
	}
	return b
}

// parseJoinRequest checks that the key signed the text.
func parseJoinRequest(b, text []byte) (JoinRequest, ed25519.PublicKey, error) {
	s := scan{b: b}
	key := ed25519.PublicKey(s.take(ed25519.PublicKeySize))
	signature := s.take(ed25519.SignatureSize)
	r := JoinRequest{Node: s.u64(), Name: s.text(maxText), Addr: s.text(maxText)}
	n := s.count(2)
	if n > maxAttrs {
		s.fault()
		n = 0
	}
	if n > 0 {
		r.Attrs = make(map[string]string, n)
	}
	for range n {
		k := s.text(maxText)
		r.Attrs[k] = s.text(maxText)
	}
	if err := s.end(); err != nil {
		return JoinRequest{}, nil, err
	}
	if r.Node == 0 || !ed25519.Verify(key, text, signature) {
		return JoinRequest{}, nil, refuse(RefusedIdentity, "the node does not have the key it shows")
	}
	return r, key, nil
}

// An admissionFrame is an Admission with the certificates.
type admissionFrame struct {
	Admission
	authority, cert []byte
	key             AuthorityKey // to a voter
}

func (m admissionFrame) marshal() []byte {
	b := appendBytes(appendBytes(nil, m.authority), m.cert)
	b = binary.BigEndian.AppendUint64(b, m.Generation)
	b = appendPeers(b, m.Peers)
	if !m.Voter {
		return append(b, 0)
	}
	b = append(b, 1)
	return appendText(appendBytes(b, m.key.Sealed), m.key.Opens.Reveal())
}

func parseAdmission(b []byte) (m admissionFrame, err error) {
	const maxCert = 16 << 10
	s := scan{b: b}
	m.authority, m.cert = s.bytes(maxCert), s.bytes(maxCert)
	m.Generation = s.u64()
	m.Peers = getPeers(&s)
	switch s.byte() {
	case 0:
	case 1:
		m.Voter = true
		m.key = AuthorityKey{Sealed: append([]byte(nil), s.bytes(maxCert)...), Opens: secret.New(s.text(clusterKeySize))}
	default:
		s.fault()
	}
	if err := s.end(); err != nil {
		return admissionFrame{}, fmt.Errorf("an admission: %w", err)
	}
	return m, nil
}
