package exchange

import (
	"encoding/binary"
	"errors"

	"github.com/warrenmq/warren/core/message"
)

// A Binding leads from an exchange to a destination. Two bindings of one
// exchange are the same if all three fields are, the arguments in order of
// their names.
type Binding struct {
	Dest Dest
	Key  string
	Args message.Table // sorted by name once bound
}

// ErrBinding is returned for an encoded binding that is malformed.
var ErrBinding = errors.New("exchange: malformed binding")

// AppendBinding appends the identity of b to dst: destination, length of key,
// key, arguments. The identities of one destination's bindings begin alike.
func AppendBinding(dst []byte, b Binding) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.Dest))
	dst = binary.AppendUvarint(dst, uint64(len(b.Key)))
	dst = append(dst, b.Key...)
	return append(dst, b.Args...)
}

// ParseBinding reads what AppendBinding wrote. The arguments are checked, the
// strings are copies.
func ParseBinding(data []byte) (Binding, error) {
	if len(data) < 8 {
		return Binding{}, ErrBinding
	}
	b := Binding{Dest: Dest(binary.BigEndian.Uint64(data))}
	n, used := binary.Uvarint(data[8:])
	rest := data[8+max(used, 0):]
	if used <= 0 || n > uint64(len(rest)) || b.Dest.Kind() > Exchange {
		return Binding{}, ErrBinding
	}
	b.Key = string(rest[:n])
	if rest = rest[n:]; len(rest) > 0 {
		b.Args = append(message.Table(nil), rest...)
	}
	if b.Args.Check() != nil {
		return Binding{}, ErrBinding
	}
	return b, nil
}

// identity returns the key of b in a table's list of bindings.
func identity(b Binding) string { return string(AppendBinding(nil, b)) }

func destPrefix(d Dest) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(d)))
}
