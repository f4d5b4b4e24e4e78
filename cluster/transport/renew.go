package transport

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/warrenmq/warren/internal/secret"
)

// Renew asks a member that holds the authority's key for a new certificate for
// a new key, and, where this node is a voter there, for the authority's key.
// Both are taken into the Trust; the caller saves it. Connections that stand
// are left alone.
func (t *Transport) Renew(ctx context.Context, from uint64) error {
	p := t.peer(from)
	if p == nil {
		return fmt.Errorf("transport: renew through node %016x: not a peer", from)
	}
	if err := t.renew(ctx, p); err != nil {
		return fmt.Errorf("transport: renew through node %016x: %w", from, err)
	}
	return nil
}

// RenewSelf issues this node a new certificate for a new key. It needs the
// authority's key.
func (t *Transport) RenewSelf() error {
	key, err := newKey(t.opts.Rand)
	if err != nil {
		return err
	}
	trust := t.opts.Trust
	cert, err := trust.Issue(trust.Node(), key.Public().(ed25519.PublicKey), t.opts.Clock.Now(), t.opts.Rand)
	if err != nil {
		return err
	}
	return trust.Replace(cert, key)
}

func (t *Transport) renew(ctx context.Context, p *peer) error {
	c, err := t.dialOnce(ctx, p, ClassTrust)
	if err != nil {
		return err
	}
	defer c.fail(errEnded)
	stop := context.AfterFunc(ctx, func() { c.fail(ctx.Err()) })
	defer stop()
	expiry := c.sock.expire(handshakeTime)
	defer expiry.Stop()
	key, err := newKey(t.opts.Rand)
	if err != nil {
		return err
	}
	cs := c.ConnectionState()
	text, err := keyProof(&cs)
	if err != nil {
		return err
	}
	request := append(append([]byte(nil), key.Public().(ed25519.PublicKey)...), ed25519.Sign(key, text)...)
	if err := c.say(typeRenew, request); err != nil {
		return c.err(err)
	}
	b, err := readOne(c, typeRenewed, maxJoinFrame)
	if err != nil {
		return c.err(err)
	}
	s := scan{b: b}
	cert := s.bytes(maxJoinFrame)
	var authority AuthorityKey
	if s.byte() == 1 {
		authority = AuthorityKey{Sealed: append([]byte(nil), s.bytes(maxJoinFrame)...), Opens: secret.New(s.text(clusterKeySize))}
	}
	if err := s.end(); err != nil {
		return err
	}
	if err := t.opts.Trust.Replace(cert, key); err != nil {
		return err
	}
	if authority.Sealed == nil {
		return nil
	}
	return t.opts.Trust.TakeAuthorityKey(authority)
}

// takeTrust answers one question of a member.
func (t *Transport) takeTrust(c *conn, p *peer) error {
	expiry := c.sock.expire(handshakeTime)
	defer expiry.Stop()
	b, err := readOne(c, typeRenew, maxHandshake)
	if err != nil {
		return c.err(err)
	}
	answer, err := t.answerRenew(c, p, b)
	if err != nil {
		if werr := c.say(typeRefusal, refuse(RefusedAuthority, "%v", err).marshal()); werr == nil {
			c.linger()
		}
		return err
	}
	if err := c.say(typeRenewed, answer); err != nil {
		return err
	}
	c.linger()
	return nil
}

func (t *Transport) answerRenew(c *conn, p *peer, b []byte) ([]byte, error) {
	s := scan{b: b}
	key, signature := ed25519.PublicKey(s.take(ed25519.PublicKeySize)), s.take(ed25519.SignatureSize)
	if err := s.end(); err != nil {
		return nil, err
	}
	cs := c.ConnectionState()
	text, err := keyProof(&cs)
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(key, text, signature) {
		return nil, fmt.Errorf("%w: the node does not have the key it shows", ErrNotTrusted)
	}
	cert, err := t.opts.Trust.Issue(p.id, key, t.opts.Clock.Now(), t.opts.Rand)
	if err != nil {
		return nil, err
	}
	out := appendBytes(nil, cert)
	if !t.opts.Voter(p.id) {
		return append(out, 0), nil
	}
	authority, err := t.opts.Trust.AuthorityKey()
	if err != nil {
		return nil, err
	}
	out = appendBytes(append(out, 1), authority.Sealed)
	return appendText(out, authority.Opens.Reveal()), nil
}

// say writes one frame at once.
func (c *conn) say(typ byte, body []byte) error {
	if err := writeOne(c, typ, body); err != nil {
		return err
	}
	return c.sock.flush()
}
