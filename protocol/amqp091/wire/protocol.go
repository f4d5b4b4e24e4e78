package wire

// A Protocol is what the first eight bytes of a connection ask for.
type Protocol uint8

// Protocols.
const (
	ProtocolUnknown Protocol = iota // not an AMQP header
	ProtocolPartial                 // the beginning of one: read on
	ProtocolOther                   // AMQP of a version that nobody speaks
	Protocol08                      // 0-8, in both of its headers
	Protocol09                      // 0-9: spoken like 0-9-1
	Protocol091                     // 0-9-1
	Protocol010                     // 0-10
	Protocol10                      // 1.0
	Protocol10TLS                   // 1.0, TLS to be negotiated
	Protocol10SASL                  // 1.0, SASL first
)

// HeaderLen is the length of a protocol header.
const HeaderLen = 8

// Headers that we send.
const (
	Header091    = "AMQP\x00\x00\x09\x01"
	Header10SASL = "AMQP\x03\x01\x00\x00"
)

// String returns the name.
func (p Protocol) String() string {
	switch p {
	case ProtocolPartial:
		return "partial AMQP header"
	case ProtocolOther:
		return "AMQP of unknown version"
	case Protocol08:
		return "AMQP 0-8"
	case Protocol09:
		return "AMQP 0-9"
	case Protocol091:
		return "AMQP 0-9-1"
	case Protocol010:
		return "AMQP 0-10"
	case Protocol10:
		return "AMQP 1.0"
	case Protocol10TLS:
		return "AMQP 1.0 over TLS"
	case Protocol10SASL:
		return "AMQP 1.0 with SASL"
	}
	return "not AMQP"
}

// Served reports whether this package speaks the protocol.
func (p Protocol) Served() bool { return p == Protocol091 || p == Protocol09 }

// AnswerTo returns the header to send, before hanging up, to a peer whose own
// header is not served: 0-9-1's when it looks like a later 0-9, otherwise 1.0's,
// as RabbitMQ answers.
func AnswerTo(head []byte) string {
	if len(head) >= HeaderLen && head[4] == 0 && head[5] == 0 && head[6] >= 9 {
		return Header091
	}
	return Header10SASL
}

// ParseProtocol reads the first bytes of a connection.
func ParseProtocol(b []byte) Protocol {
	const name = "AMQP"
	if n := min(len(b), len(name)); string(b[:n]) != name[:n] {
		return ProtocolUnknown
	}
	if len(b) < HeaderLen {
		return ProtocolPartial
	}
	switch string(b[len(name):HeaderLen]) {
	case "\x00\x00\x09\x01":
		return Protocol091
	case "\x01\x01\x00\x09":
		return Protocol09
	case "\x01\x01\x08\x00", "\x01\x01\x00\x08":
		return Protocol08
	case "\x01\x01\x00\x0a":
		return Protocol010
	case "\x00\x01\x00\x00":
		return Protocol10
	case "\x02\x01\x00\x00":
		return Protocol10TLS
	case "\x03\x01\x00\x00":
		return Protocol10SASL
	}
	return ProtocolOther
}
