package wire

import "encoding/binary"

// Flags says which properties are present.
type Flags uint16

// Props are the properties of a message as they came: the flag word and the
// values of the properties whose flag is set, in flag order. They are checked
// once, by DecodeHeader or Validate; the accessors pick single values without
// allocating and return views. Empty Props are no properties.
type Props []byte

// Validate checks the structure, headers included. The flag word must be the
// only one and use no flag that class basic does not have: a consumer might
// read on where we stop.
func (p Props) Validate() error {
	flags := p.flags()
	if len(p) < 2 || flags&^allFlags != 0 {
		return propsError("bad property flags")
	}
	at := 2
	for f := HasContentType; f >= HasClusterID; f >>= 1 {
		if flags&f == 0 {
			continue
		}
		n := p.valueLen(f, at)
		if n < 0 || n > len(p)-at {
			return propsError("properties end within a property")
		}
		if f == HasHeaders {
			if _, bad := checkTable(view(p[at+4:at+n]), 0); bad.reason != sound {
				return bad.reply(0)
			}
		}
		at += n
	}
	if at != len(p) {
		return propsError("properties are followed by other bytes")
	}
	return nil
}

func propsError(text string) *Error { return &Error{Code: CodeSyntaxError, Text: text} }

// Has reports whether all the properties are present.
func (p Props) Has(f Flags) bool { return p.flags()&f == f }

func (p Props) flags() Flags {
	if len(p) < 2 {
		return 0
	}
	return Flags(binary.BigEndian.Uint16(p))
}

// valueLen returns the length of property f, which starts at at, or -1. It may
// exceed what is there.
func (p Props) valueLen(f Flags, at int) int {
	switch f {
	case HasDeliveryMode, HasPriority:
		return 1
	case HasTimestamp:
		return 8
	case HasHeaders:
		if len(p)-at < 4 {
			return -1
		}
		n := uint64(binary.BigEndian.Uint32(p[at:])) + 4
		if n > uint64(len(p)-at) {
			return -1
		}
		return int(n)
	}
	if at >= len(p) {
		return -1
	}
	return 1 + int(p[at])
}

// value returns the encoded property, nil when it is absent.
func (p Props) value(want Flags) []byte {
	at, n := p.span(want)
	if n == 0 {
		return nil
	}
	return p[at : at+n : at+n]
}

// span returns where the encoded property is and its length, 0 when it is
// absent.
func (p Props) span(want Flags) (at, n int) {
	flags := p.flags()
	if flags&want == 0 {
		return 0, 0
	}
	at = 2
	for f := HasContentType; f >= want; f >>= 1 {
		if flags&f == 0 {
			continue
		}
		n := p.valueLen(f, at)
		if n < 0 || n > len(p)-at {
			return 0, 0 // never validated
		}
		if f == want {
			return at, n
		}
		at += n
	}
	return 0, 0
}

// text returns a short string property.
func (p Props) text(f Flags) []byte {
	if v := p.value(f); v != nil {
		return v[1:]
	}
	return nil
}

// octet returns a one byte property, 0 when absent.
func (p Props) octet(f Flags) uint8 {
	if v := p.value(f); v != nil {
		return v[0]
	}
	return 0
}

// ContentType returns the property, nil when absent.
func (p Props) ContentType() []byte { return p.text(HasContentType) }

// ContentEncoding returns the property, nil when absent.
func (p Props) ContentEncoding() []byte { return p.text(HasContentEncoding) }

// Headers returns the body of the headers table, nil when absent: see Lookup,
// Fields and DecodeTable.
func (p Props) Headers() []byte {
	if v := p.value(HasHeaders); v != nil {
		return v[4:]
	}
	return nil
}

// DeliveryMode returns the property, 0 when absent.
func (p Props) DeliveryMode() uint8 { return p.octet(HasDeliveryMode) }

// Persistent reports whether the message is to survive a restart: mode 2 does,
// all else does not.
func (p Props) Persistent() bool { return p.DeliveryMode() == 2 }

// Priority returns the property, 0 when absent.
func (p Props) Priority() uint8 { return p.octet(HasPriority) }

// CorrelationID returns the property, nil when absent.
func (p Props) CorrelationID() []byte { return p.text(HasCorrelationID) }

// ReplyTo returns the property, nil when absent.
func (p Props) ReplyTo() []byte { return p.text(HasReplyTo) }

// Expiration returns the property, nil when absent.
func (p Props) Expiration() []byte { return p.text(HasExpiration) }

// MessageID returns the property, nil when absent.
func (p Props) MessageID() []byte { return p.text(HasMessageID) }

// Timestamp returns the seconds since 1970, 0 when absent.
func (p Props) Timestamp() uint64 {
	if v := p.value(HasTimestamp); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// Type returns the property, nil when absent.
func (p Props) Type() []byte { return p.text(HasType) }

// UserID returns the property, nil when absent.
func (p Props) UserID() []byte { return p.text(HasUserID) }

// AppID returns the property, nil when absent.
func (p Props) AppID() []byte { return p.text(HasAppID) }

// AppendReplyTo appends the properties with another reply-to, which takes the
// place of the one they have. It panics when the name is longer than 255 bytes.
func (p Props) AppendReplyTo(dst []byte, name string) []byte {
	at, n := p.span(HasReplyTo)
	if n == 0 {
		return append(dst, p...)
	}
	dst = append(dst, p[:at]...)
	dst = appendShort(dst, name)
	return append(dst, p[at+n:]...)
}

// ClusterID returns the reserved property, nil when absent.
func (p Props) ClusterID() []byte { return p.text(HasClusterID) }
