package member

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Kind is what a Message says.
type Kind uint8

// The kinds of messages. The numbers are on the wire.
const (
	// Beat: the sender lives, as Incarnation.
	Beat Kind = 1 + iota
	// Answer to a beat.
	Answer
	// Report to the leader that Incarnation is silent or gone.
	Report
	// CallOff of a report.
	CallOff
)

// A Why is the reason for an incarnation's end.
type Why uint8

// The reasons. The numbers are on the wire.
const (
	Silent Why = iota // a majority of voters heard nothing
	Gone              // its process was proved gone
	Over              // its node said so itself
)

// String returns the reason's text.
func (w Why) String() string {
	return [...]string{Silent: "a majority heard nothing", Gone: "its process is gone", Over: "its node gave it up"}[w]
}

// A Message goes between two members over transport.Beat. Which fields mean
// something depends on Kind; the sender's id comes from the connection.
type Message struct {
	Kind        Kind
	Incarnation uint64 // all: whom it is about
	Seq         uint64 // Beat, Answer: the beat's number
	Conf        Conf   // Beat: Index only. Answer: the voters too if the beat's sender is behind
	Over        bool   // Beat: this incarnation serves nothing any more
	Yes         bool   // Answer: counts for the lease
	Why         Why    // Report
	Witness     uint64 // Report: the sender's own incarnation. CallOff: the one that reported
	Term        uint64 // Report, CallOff: of the leader
	Round       uint64 // Report, CallOff: which report of the sender
	Set         uint64 // Report: the sum of the voters under which it was made
}

const (
	messageVersion = 1
	maxSet         = 16 // nodes in one set of a Conf on the wire

	flagOver = 1 << 0
	flagYes  = 1 << 1
	flagConf = 1 << 2
)

// ErrMessage is returned, wrapped, for bytes that are no message.
var ErrMessage = errors.New("member: malformed message")

// Append appends the message's bytes:
//
//	version u8 | kind u8 | flags u8 | why u8 | incarnation | seq | conf index |
//	witness | term | round | set | with flagConf: voters, outgoing, learners
//
// Numbers are uvarints, a set is its size and 8 bytes for each id.
func (m *Message) Append(b []byte) []byte {
	var flags byte
	if m.Over {
		flags |= flagOver
	}
	if m.Yes {
		flags |= flagYes
	}
	withConf := len(m.Conf.Voters) > 0
	if withConf {
		flags |= flagConf
	}
	b = append(b, messageVersion, byte(m.Kind), flags, byte(m.Why))
	for _, n := range [...]uint64{m.Incarnation, m.Seq, m.Conf.Index, m.Witness, m.Term, m.Round, m.Set} {
		b = binary.AppendUvarint(b, n)
	}
	if withConf {
		for _, set := range [...][]uint64{m.Conf.Voters, m.Conf.Outgoing, m.Conf.Learners} {
			set = set[:min(len(set), maxSet)]
			b = append(b, byte(len(set)))
			for _, id := range set {
				b = binary.BigEndian.AppendUint64(b, id)
			}
		}
	}
	return b
}

// Decode reads a message. It keeps nothing of b.
func Decode(b []byte) (Message, error) {
	if len(b) < 4 {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrMessage, len(b))
	}
	if b[0] != messageVersion {
		return Message{}, fmt.Errorf("%w: version %d, this node speaks %d", ErrMessage, b[0], messageVersion)
	}
	m := Message{Kind: Kind(b[1]), Over: b[2]&flagOver != 0, Yes: b[2]&flagYes != 0, Why: Why(b[3])}
	if m.Kind < Beat || m.Kind > CallOff || m.Why > Over || b[2]&^(flagOver|flagYes|flagConf) != 0 {
		return Message{}, fmt.Errorf("%w: kind %d, flags %#x, reason %d", ErrMessage, b[1], b[2], b[3])
	}
	withConf := b[2]&flagConf != 0
	b = b[4:]
	for _, to := range [...]*uint64{&m.Incarnation, &m.Seq, &m.Conf.Index, &m.Witness, &m.Term, &m.Round, &m.Set} {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return Message{}, fmt.Errorf("%w: cut short or a number too large", ErrMessage)
		}
		*to, b = n, b[size:]
	}
	if withConf {
		var err error
		if b, err = decodeSets(b, &m.Conf.Voters, &m.Conf.Outgoing, &m.Conf.Learners); err != nil {
			return Message{}, err
		}
		if len(m.Conf.Voters) == 0 {
			return Message{}, fmt.Errorf("%w: a configuration without voters", ErrMessage)
		}
	}
	if len(b) > 0 {
		return Message{}, fmt.Errorf("%w: %d bytes too many", ErrMessage, len(b))
	}
	return m, nil
}

func decodeSets(b []byte, sets ...*[]uint64) ([]byte, error) {
	for _, to := range sets {
		if len(b) == 0 || int(b[0]) > maxSet || len(b) < 1+8*int(b[0]) {
			return nil, fmt.Errorf("%w: a set of nodes is cut short or too large", ErrMessage)
		}
		n := int(b[0])
		b = b[1:]
		for ; n > 0; n-- {
			*to = append(*to, binary.BigEndian.Uint64(b))
			b = b[8:]
		}
	}
	return b, nil
}
