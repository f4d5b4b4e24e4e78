package member

import (
	"encoding/binary"
	"fmt"
)

const (
	peerVersion = 1
	maxText     = 1 << 10 // of a Peer on the wire
)

// Append appends what a node answers to a probe:
//
//	version u8 | state u8 | node u64 | size u16, name | size u16, cluster | size u16, first
//
// Longer texts than a kilobyte are cut: they are nobody's.
func (p *Peer) Append(b []byte) []byte {
	b = append(b, peerVersion, byte(p.State))
	b = binary.BigEndian.AppendUint64(b, p.Node)
	for _, s := range [...]string{p.Name, p.Cluster, p.First} {
		s = s[:min(len(s), maxText)]
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
	}
	return b
}

// ParsePeer reads what a node answered to a probe. A later release may say more
// behind it.
func ParsePeer(b []byte) (Peer, error) {
	if len(b) < 10 || b[0] == 0 || PeerState(b[1]) > Joined {
		return Peer{}, fmt.Errorf("%w: no answer to a probe", ErrMessage)
	}
	p := Peer{State: PeerState(b[1]), Node: binary.BigEndian.Uint64(b[2:])}
	b = b[10:]
	for _, to := range [...]*string{&p.Name, &p.Cluster, &p.First} {
		if len(b) < 2 {
			return Peer{}, fmt.Errorf("%w: an answer to a probe is cut short", ErrMessage)
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > maxText || len(b) < n {
			return Peer{}, fmt.Errorf("%w: a text in an answer to a probe is cut short or too long", ErrMessage)
		}
		*to, b = string(b[:n]), b[n:]
	}
	if p.Node == 0 || p.State == Joined && p.Cluster == "" {
		return Peer{}, fmt.Errorf("%w: an answer to a probe without a node or a cluster", ErrMessage)
	}
	return p, nil
}
