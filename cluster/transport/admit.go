package transport

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/warrenmq/warren/internal/clock"
)

// admit is the member's side of a join.
func (t *Transport) admit(c *conn, expiry clock.Timer) {
	if !t.hold(c) {
		return
	}
	defer t.unhold(c)
	r, err := t.tryAdmit(c, expiry)
	switch {
	case errors.Is(err, errProbed):
		c.linger()
	case err != nil:
		t.rejected(c, err)
		c.reject(err)
	default:
		t.log.Info("a node was admitted", "to", r.Name, "peer", c.RemoteAddr().String())
		c.linger()
	}
}

func (t *Transport) tryAdmit(c *conn, expiry clock.Timer) (JoinRequest, error) {
	if err := t.checkCookie(c); err != nil {
		return JoinRequest{}, err
	}
	// From here on the other side has the cookie.
	t.known(c)
	cs := c.ConnectionState()
	text, err := keyProof(&cs)
	if err != nil {
		return JoinRequest{}, err
	}
	c.sock.budget.Store(maxJoinFrame)
	typ, b, err := readEither(c, typeJoinRequest, typeProbe, maxJoinFrame)
	switch {
	case err != nil:
		return JoinRequest{}, fmt.Errorf("wait for a request: %w", err)
	case typ == typeProbe:
		return JoinRequest{}, t.answerProbe(c)
	}
	r, key, err := parseJoinRequest(b, text)
	if err != nil {
		return JoinRequest{}, err
	}
	expiry.Reset(admitTime)
	m, err := t.decide(c, r, key)
	if err != nil {
		return JoinRequest{}, err
	}
	if err := writeOne(c, typeJoinAdmission, m.marshal()); err != nil {
		return JoinRequest{}, fmt.Errorf("tell node %016x: %w", r.Node, err)
	}
	return r, nil
}

// errProbed ends an admission that was only a probe.
var errProbed = errors.New("transport: probed")

func (t *Transport) answerProbe(c *conn) error {
	if t.opts.Probe == nil {
		return refuse(RefusedClass, "this node is not probed")
	}
	b := t.opts.Probe()
	if len(b) >= maxHandshake {
		return fmt.Errorf("transport: a probe is answered with %d bytes, fewer than %d may be", len(b), maxHandshake)
	}
	if err := writeOne(c, typeProbed, b); err != nil {
		return err
	}
	return errProbed
}

// hold and unhold keep an admission under way among what Close ends.
func (t *Transport) hold(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return false
	}
	t.mu.admitting[c] = struct{}{}
	return true
}

func (t *Transport) unhold(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.admitting, c)
}

// checkCookie lets the other side prove that it has the cookie, and then proves
// it to the other side.
func (t *Transport) checkCookie(c *conn) error {
	b, err := readOne(c, typeJoinHello, maxHandshake)
	if err != nil {
		return fmt.Errorf("wait for a hello: %w", err)
	}
	if err := checkJoinVersion(&scan{b: b}); err != nil {
		return err
	}
	cluster := t.opts.Trust.Cluster()
	if err := writeOne(c, typeJoinCluster, binary.BigEndian.AppendUint64(joinVersion(), cluster)); err != nil {
		return fmt.Errorf("say the cluster's id: %w", err)
	}
	proof, err := readOne(c, typeJoinProof, maxHandshake)
	if err != nil {
		return fmt.Errorf("wait for a proof: %w", err)
	}
	right, err := t.try(c, cluster, proof)
	switch {
	case err != nil:
		return err
	case !right:
		return refuse(RefusedCookie, "the cookies differ")
	}
	cs := c.ConnectionState()
	mine, err := t.opts.Cookie.prove(cluster, roleMember, &cs)
	if err != nil {
		return err
	}
	if err := writeOne(c, typeJoinProof, mine); err != nil {
		return fmt.Errorf("prove the cookie: %w", err)
	}
	return nil
}

// try looks at a proof when it is its turn.
func (t *Transport) try(c *conn, cluster uint64, proof []byte) (bool, error) {
	ctx, cancel := context.WithCancel(t.life())
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() { // its time may run out
		select {
		case <-c.sock.done:
			cancel()
		case <-ctx.Done():
		}
	})
	cs := c.ConnectionState()
	want, err := t.opts.Cookie.prove(cluster, roleJoiner, &cs) // stretched before, so that nobody waits for it
	if err != nil {
		return false, err
	}
	done, ok := t.tries.enter(ctx, c.RemoteAddr())
	if !ok {
		return false, refuse(RefusedBusy, "others are trying, or this address was wrong a moment ago: try again")
	}
	right := hmac.Equal(proof, want)
	done(right)
	return right, nil
}

// decide asks whether the cluster takes the node, and issues its certificate.
func (t *Transport) decide(c *conn, r JoinRequest, key []byte) (admissionFrame, error) {
	trust := t.opts.Trust
	switch {
	case !trust.HoldsAuthority():
		no := refuse(RefusedAuthority, "this node cannot issue certificates; the cluster's voters can")
		no.Try = t.voters()
		return admissionFrame{}, no
	case r.Node == trust.Node():
		return admissionFrame{}, refuse(RefusedSelf, "node %016x is this very node: is its address given for another's, or its data directory copied?", r.Node)
	case t.opts.Forgotten(r.Node):
		return admissionFrame{}, refuse(RefusedForgotten, "node %016x was removed from the cluster; it joins with a new id", r.Node)
	case t.lives(r.Node):
		return admissionFrame{}, refuse(RefusedJoin, "node %016x is a member already", r.Node)
	}
	ctx, cancel := context.WithCancel(t.life())
	defer cancel()
	stop := t.opts.Clock.AfterFunc(admitTime, cancel)
	defer stop.Stop()
	a, err := t.opts.Admit(ctx, r)
	if err != nil {
		var no *Refusal
		if errors.As(err, &no) {
			return admissionFrame{}, no
		}
		return admissionFrame{}, refuse(RefusedJoin, "%v", err)
	}
	m := admissionFrame{Admission: a, authority: trust.now.Load().authority.Raw}
	if m.cert, err = trust.Issue(r.Node, key, t.opts.Clock.Now(), t.opts.Rand); err != nil {
		return admissionFrame{}, refuse(RefusedAuthority, "%v", err)
	}
	if a.Voter {
		if m.key, err = trust.AuthorityKey(); err != nil {
			return admissionFrame{}, refuse(RefusedAuthority, "%v", err)
		}
	}
	return m, nil
}

// lives reports whether this node has met a node in a life of its process. One
// that is known and never lived may have missed the answer to its first request.
func (t *Transport) lives(id uint64) bool {
	p := t.peer(id)
	if p == nil {
		return false
	}
	newest, _ := p.seen(hello{})
	return newest > 0
}

// voters lists the peers that hold the authority's key.
func (t *Transport) voters() (out []Peer) {
	for _, p := range t.Peers() {
		if t.opts.Voter(p.ID) {
			out = append(out, p)
		}
	}
	return out
}
