package wire

import "encoding/binary"

// maxShort is the length of the longest short string.
const maxShort = 255

// A reader takes the fields of a method one by one. After a fault it yields
// zero values; end tells.
type reader struct {
	rest  []byte
	short bool  // rest ended before the fields did
	fault fault // of a table
}

func (r *reader) take(n int) []byte {
	if uint(n) > uint(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) octet() uint8 {
	if len(r.rest) < 1 {
		r.short = true
		return 0
	}
	v := r.rest[0]
	r.rest = r.rest[1:]
	return v
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) shortstr() []byte { return r.take(int(r.octet())) }

func (r *reader) longstr() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	return r.take(int(n))
}

func (r *reader) table() Table {
	body := r.longstr()
	if r.short {
		return nil
	}
	t, f := decodeTable(body)
	if f.reason != sound && r.fault.reason == sound {
		r.fault = f
	}
	return t
}

// end reports what went wrong. RabbitMQ calls arguments that are too short or
// too long a frame error, and a bad table a syntax error.
func (r *reader) end(id ID, args []byte) error {
	if r.fault.reason != sound {
		return r.fault.reply(id)
	}
	if r.short || len(r.rest) > 0 {
		return malformed(id, args)
	}
	return nil
}

// malformed is what RabbitMQ answers. Methods that carry a secret hand in no
// args: the text goes to logs.
func malformed(id ID, args []byte) *Error {
	text := "cannot decode arguments"
	if args != nil {
		const shown = 64 // the reply text is cut at 255 bytes anyway
		text = "cannot decode " + erlangBytes(args[:min(len(args), shown)])
	}
	return &Error{Code: CodeFrameError, Text: text, Method: id}
}
