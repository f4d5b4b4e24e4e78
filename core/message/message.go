package message

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Protocol tells whose encoding Message.Properties is in.
type Protocol uint8

// The protocols. The numbers are written to disk.
const (
	Internal Protocol = iota // Properties is a Table
	AMQP091
	AMQP10
	AMQP010
	OpenWire
	STOMP
	MQTT
)

// A Message is the hub form of one message. After Parse its slices alias the
// blob.
type Message struct {
	Protocol    Protocol
	Durable     bool // as its publisher asked; whether it survives is up to the queue
	HasPriority bool
	HasTTL      bool
	HasCreated  bool
	Priority    uint8
	TTL         uint64 // milliseconds from arrival, as published
	Created     int64  // milliseconds since 1970, the publisher's clock
	Exchange    []byte // where it was published; empty is the default exchange
	RoutingKey  []byte
	// Properties are the publisher's properties and headers in the encoding of
	// Protocol, untouched.
	Properties []byte
	Body       []byte
	// Overlay holds what the broker changed since: records, the latest of a
	// kind counts. AppendOverlay adds to it, Overlaid reads it.
	Overlay []byte
}

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("message: malformed blob")

const version = 1

const (
	flagDurable = 1 << iota
	flagPriority
	flagTTL
	flagCreated
	knownFlags = flagDurable | flagPriority | flagTTL | flagCreated
)

// AppendTo appends the blob of m to dst.
func AppendTo(dst []byte, m *Message) []byte {
	dst = AppendHead(dst, m, len(m.Body))
	dst = append(dst, m.Body...)
	return append(dst, m.Overlay...)
}

// AppendHead appends everything of m's blob that stands before a body of
// bodyLen bytes. Whoever holds the body in pieces appends these next, and
// nothing else; m.Body and m.Overlay are not looked at.
func AppendHead(dst []byte, m *Message, bodyLen int) []byte {
	var flags byte
	if m.Durable {
		flags |= flagDurable
	}
	if m.HasPriority {
		flags |= flagPriority
	}
	if m.HasTTL {
		flags |= flagTTL
	}
	if m.HasCreated {
		flags |= flagCreated
	}
	dst = append(dst, version, byte(m.Protocol), flags)
	if m.HasPriority {
		dst = append(dst, m.Priority)
	}
	if m.HasTTL {
		dst = binary.AppendUvarint(dst, m.TTL)
	}
	if m.HasCreated {
		dst = binary.AppendVarint(dst, m.Created)
	}
	dst = appendBytes(dst, m.Exchange)
	dst = appendBytes(dst, m.RoutingKey)
	dst = appendBytes(dst, m.Properties)
	return binary.AppendUvarint(dst, uint64(bodyLen))
}

// Size returns the length of m's blob.
func Size(m *Message) int {
	n := 3 + sizeBytes(m.Exchange) + sizeBytes(m.RoutingKey) + sizeBytes(m.Properties) + sizeBytes(m.Body) + len(m.Overlay)
	if m.HasPriority {
		n++
	}
	if m.HasTTL {
		n += uvarintLen(m.TTL)
	}
	if m.HasCreated {
		n += uvarintLen(zigzag(m.Created))
	}
	return n
}

// Parse reads a blob. It allocates nothing; the message aliases blob.
func Parse(blob []byte) (m Message, err error) {
	if len(blob) < 3 {
		return m, fmt.Errorf("%w: %d bytes", ErrMalformed, len(blob))
	}
	if blob[0] != version {
		return m, fmt.Errorf("%w: version %d", ErrMalformed, blob[0])
	}
	flags := blob[2]
	if flags&^knownFlags != 0 {
		return m, fmt.Errorf("%w: flags %#x", ErrMalformed, flags)
	}
	m.Protocol = Protocol(blob[1])
	m.Durable = flags&flagDurable != 0
	m.HasPriority = flags&flagPriority != 0
	m.HasTTL = flags&flagTTL != 0
	m.HasCreated = flags&flagCreated != 0
	r := reader{data: blob[3:]}
	if m.HasPriority {
		m.Priority = r.byte()
	}
	if m.HasTTL {
		m.TTL = r.uvarint()
	}
	if m.HasCreated {
		m.Created = unzigzag(r.uvarint())
	}
	m.Exchange = r.bytes()
	m.RoutingKey = r.bytes()
	m.Properties = r.bytes()
	m.Body = r.bytes()
	if !r.failed {
		m.Overlay = r.data[:len(r.data):len(r.data)]
		r.failed = !overlayValid(m.Overlay)
	}
	if r.failed {
		return Message{}, fmt.Errorf("%w: cut short", ErrMalformed)
	}
	return m, nil
}
