package transport

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// The version of everything between nodes. A different major is refused; a
// higher minor speaks the lower one.
const (
	versionMajor = 1
	versionMinor = 0
)

const (
	helloMagic   = "WRNP"
	maxHandshake = 4 << 10 // bytes of a hello, a welcome, a refusal
	maxText      = 1 << 10 // bytes of a name or a refusal's text
)

// A Class is what a connection is for.
type Class uint8

// The classes.
const (
	ClassRaft Class = 1 + iota
	ClassData
	ClassBulk
	ClassTrust // one question to the authority, see Renew
)

// String returns the class's name.
func (c Class) String() string {
	switch c {
	case ClassRaft:
		return "raft"
	case ClassData:
		return "data"
	case ClassBulk:
		return "bulk"
	case ClassTrust:
		return "trust"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// A hello is the first frame of a connection between members:
//
//	"WRNP" | major u16 | minor u16 | class byte | cluster u64 | from u64 | to u64 |
//	incarnation u64 | generation u64 | process u64
//
// and, with magic and versions too, the welcome that answers it. What a higher
// minor adds stands behind, and is not looked at.
type hello struct {
	major, minor            uint16
	class                   Class
	cluster, from, to       uint64
	incarnation, generation uint64
	process                 uint64 // made by chance when the process began
}

func (h hello) marshal() []byte {
	b := append(make([]byte, 0, 64), helloMagic...)
	b = binary.BigEndian.AppendUint16(b, h.major)
	b = binary.BigEndian.AppendUint16(b, h.minor)
	b = append(b, byte(h.class))
	for _, v := range [...]uint64{h.cluster, h.from, h.to, h.incarnation, h.generation, h.process} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// parseHello reads as much as every version has in common first, so that a
// stranger's version can be refused by name.
func parseHello(b []byte) (hello, error) {
	s := scan{b: b}
	if string(s.take(len(helloMagic))) != helloMagic {
		return hello{}, fmt.Errorf("%w: no hello", errFrame)
	}
	h := hello{major: s.u16(), minor: s.u16()}
	if h.major != versionMajor && !s.bad {
		return h, nil
	}
	h.class = Class(s.byte())
	for _, v := range [...]*uint64{&h.cluster, &h.from, &h.to, &h.incarnation, &h.generation, &h.process} {
		*v = s.u64()
	}
	if s.bad {
		return hello{}, fmt.Errorf("hello: %w", errShort)
	}
	return h, nil
}

// A Reason says why a node was refused.
type Reason uint16

// The reasons.
const (
	RefusedVersion     Reason = 1 + iota // another major version
	RefusedCluster                       // another cluster
	RefusedIdentity                      // it is not who it says, or we are not whom it looks for
	RefusedSelf                          // a node that called itself
	RefusedUnknown                       // not among the peers, perhaps not yet
	RefusedForgotten                     // removed from the cluster for good
	RefusedGeneration                    // of before, or after, a restart without majority
	RefusedIncarnation                   // an older life of the process
	RefusedClass                         // this node takes no such connection
	RefusedBusy                          // too many at once: try again
	RefusedCookie                        // the cookies differ
	RefusedJoin                          // the cluster does not take the node
	RefusedAuthority                     // this node cannot issue certificates, others can
)

// A Refusal is an answer of the other side that says why it refused.
type Refusal struct {
	Reason Reason
	Text   string // for people
	// Try lists nodes to ask instead, with RefusedAuthority. It is given only
	// to who proved the cookie.
	Try []Peer
}

func (r *Refusal) Error() string { return "refused: " + r.Text }

func refuse(why Reason, format string, a ...any) *Refusal {
	return &Refusal{Reason: why, Text: fmt.Sprintf(format, a...)}
}

func (r *Refusal) marshal() []byte {
	text := r.Text
	if len(text) > maxText {
		text = text[:maxText]
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(r.Reason))
	b = appendText(b, text)
	return appendPeers(b, r.Try)
}

// parseRefusal always returns an error: that of the text, or the refusal. The
// text of another machine is shown to people: control characters go.
func parseRefusal(b []byte) error {
	s := scan{b: b}
	r := &Refusal{Reason: Reason(s.u16()), Text: clean(s.text(maxText))}
	r.Try = getPeers(&s)
	if err := s.end(); err != nil {
		return fmt.Errorf("a refusal: %w", err)
	}
	return r
}

func clean(text string) string {
	out := make([]rune, 0, len(text))
	for _, c := range text {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}

const maxPeers = 1 << 10 // in an admission or a refusal

func appendPeers(b []byte, ps []Peer) []byte {
	ps = ps[:min(len(ps), maxPeers)]
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, p := range ps {
		b = binary.BigEndian.AppendUint64(b, p.ID)
		b = appendText(b, p.Name)
		b = appendText(b, p.Addr)
	}
	return b
}

func getPeers(s *scan) []Peer {
	n := s.count(10)
	if n > maxPeers {
		s.fault()
		return nil
	}
	var ps []Peer
	for range n {
		ps = append(ps, Peer{ID: s.u64(), Name: s.text(maxText), Addr: s.text(maxText)})
	}
	return ps
}

// ownHello is what this node says to a peer.
func (t *Transport) ownHello(class Class, to uint64) hello {
	return hello{
		major: versionMajor, minor: versionMinor, class: class,
		cluster: t.opts.Trust.Cluster(), from: t.opts.Trust.Node(), to: to,
		incarnation: t.opts.Self.Incarnation(), generation: t.opts.Self.Generation(),
		process: t.process,
	}
}

// judge decides about the hello of a node whose certificate is that of proved.
// It returns the peer, or why it is refused.
func (t *Transport) judge(h hello, proved uint64) (*peer, error) {
	self := t.opts.Trust.Node()
	switch {
	case h.major != versionMajor:
		return nil, refuse(RefusedVersion, "this node speaks version %d between nodes, not %d: update the older one", versionMajor, h.major)
	case h.cluster != t.opts.Trust.Cluster():
		return nil, refuse(RefusedCluster, "this is cluster %016x, not %016x", t.opts.Trust.Cluster(), h.cluster)
	case h.from != proved:
		return nil, refuse(RefusedIdentity, "node %016x shows the certificate of node %016x", h.from, proved)
	case h.from == self:
		return nil, refuse(RefusedSelf, "a node does not connect to itself: is its address given for another's, or its data directory copied?")
	case h.to != self:
		return nil, refuse(RefusedIdentity, "this is node %016x, not %016x: the address is another's now", self, h.to)
	case t.opts.Forgotten(h.from):
		return nil, refuse(RefusedForgotten, "node %016x was removed from the cluster; to come back it joins with a new id", h.from)
	}
	if own := t.opts.Self.Generation(); h.generation != own {
		return nil, refuse(RefusedGeneration, "this node is of generation %d of the cluster, not %d: the older one joins anew", own, h.generation)
	}
	p := t.peer(h.from)
	if p == nil {
		return nil, refuse(RefusedUnknown, "node %016x is not known here, or not yet", h.from)
	}
	if newest, ok := p.seen(h); !ok {
		return nil, refuse(RefusedIncarnation, "incarnation %d of node %016x was seen, in another process: %d is older", newest, h.from, h.incarnation)
	}
	return p, nil
}

// judgeWelcome holds the answer of the node that was dialled against what it
// should be.
func judgeWelcome(own, h hello) error {
	switch {
	case h.major != own.major:
		return refuse(RefusedVersion, "it speaks version %d, not %d", h.major, own.major)
	case h.cluster != own.cluster:
		return refuse(RefusedCluster, "it is of cluster %016x", h.cluster)
	case h.from != own.to || h.to != own.from || h.class != own.class:
		return refuse(RefusedIdentity, "it says it is node %016x", h.from)
	case h.generation != own.generation:
		return refuse(RefusedGeneration, "it is of generation %d, this node of %d", h.generation, own.generation)
	}
	return nil
}
