package wire

import (
	"encoding/binary"
	"math"
	"strings"
	"unsafe"
)

// A Kind is the tag of a field value, as RabbitMQ reads and writes them. The
// tag 's' is a short integer here, not the paper's short string.
type Kind byte

// Kinds of values.
const (
	KindString    Kind = 'S'
	KindInt8      Kind = 'b'
	KindUint8     Kind = 'B'
	KindInt16     Kind = 's'
	KindUint16    Kind = 'u'
	KindInt32     Kind = 'I'
	KindUint32    Kind = 'i'
	KindInt64     Kind = 'l'
	KindInt64L    Kind = 'L' // read like KindInt64; RabbitMQ never writes it
	KindBool      Kind = 't'
	KindFloat32   Kind = 'f'
	KindFloat64   Kind = 'd'
	KindDecimal   Kind = 'D'
	KindTimestamp Kind = 'T'
	KindTable     Kind = 'F'
	KindArray     Kind = 'A'
	KindBytes     Kind = 'x'
	KindVoid      Kind = 'V'
)

// A Value is one value of a table or an array. It holds the value's encoding,
// tag first, and therefore compares with == bit by bit, survives a round trip
// exactly and costs two words. Values come from this package's constructors and
// decoders only, so the encoding is always sound. The zero Value is void.
type Value struct{ enc string }

// A Decimal is Value divided by ten to the power Scale.
type Decimal struct {
	Scale uint8
	Value uint32
}

// Void returns the value without content.
func Void() Value { return Value{} }

// String returns a string value.
func String(s string) Value { return Value{string(appendLong([]byte{byte(KindString)}, s))} }

// Bytes returns a byte array value.
func Bytes(b []byte) Value { return Value{string(appendLong([]byte{byte(KindBytes)}, b))} }

// Int64 returns a value of the integer type that fits most readers.
func Int64(n int64) Value { return number(KindInt64, 8, uint64(n)) }

// Int32 returns a 32-bit integer value.
func Int32(n int32) Value { return number(KindInt32, 4, uint64(n)) }

// Uint32 returns an unsigned 32-bit integer value.
func Uint32(n uint32) Value { return number(KindUint32, 4, uint64(n)) }

// Int16 returns a 16-bit integer value.
func Int16(n int16) Value { return number(KindInt16, 2, uint64(n)) }

// Uint16 returns an unsigned 16-bit integer value.
func Uint16(n uint16) Value { return number(KindUint16, 2, uint64(n)) }

// Int8 returns an 8-bit integer value.
func Int8(n int8) Value { return number(KindInt8, 1, uint64(n)) }

// Uint8 returns an unsigned 8-bit integer value.
func Uint8(n uint8) Value { return number(KindUint8, 1, uint64(n)) }

// Bool returns a boolean value.
func Bool(v bool) Value { return number(KindBool, 1, uint64(bit(v, 0))) }

// Float64 returns a double.
func Float64(f float64) Value { return number(KindFloat64, 8, math.Float64bits(f)) }

// Float32 returns a float.
func Float32(f float32) Value { return number(KindFloat32, 4, uint64(math.Float32bits(f))) }

// Timestamp returns a time in seconds since 1970.
func Timestamp(seconds uint64) Value { return number(KindTimestamp, 8, seconds) }

// DecimalOf returns a decimal value.
func DecimalOf(d Decimal) Value {
	enc := binary.BigEndian.AppendUint32([]byte{byte(KindDecimal), d.Scale}, d.Value)
	return Value{string(enc)}
}

// TableOf returns a table as a value.
func TableOf(t Table) Value { return Value{string(t.Append([]byte{byte(KindTable)}))} }

// Array returns an array of the values.
func Array(items ...Value) Value {
	enc := []byte{byte(KindArray), 0, 0, 0, 0}
	for _, v := range items {
		enc = v.Append(enc)
	}
	binary.BigEndian.PutUint32(enc[1:], uint32(len(enc)-5))
	return Value{string(enc)}
}

func number(k Kind, width int, bits uint64) Value {
	var enc [9]byte
	enc[0] = byte(k)
	binary.BigEndian.PutUint64(enc[1:], bits<<(64-8*width))
	return Value{string(enc[:1+width])}
}

// Append appends the encoding, tag first.
func (v Value) Append(dst []byte) []byte {
	if v.enc == "" {
		return append(dst, byte(KindVoid))
	}
	return append(dst, v.enc...)
}

// Clone returns a copy that owns its bytes. A Value that Lookup or Fields gave
// is a view and must be cloned to be kept.
func (v Value) Clone() Value { return Value{strings.Clone(v.enc)} }

// Kind returns the tag.
func (v Value) Kind() Kind {
	if v.enc == "" {
		return KindVoid
	}
	return Kind(v.enc[0])
}

// Int returns the number if the value is an integer of any width.
func (v Value) Int() (n int64, ok bool) {
	switch v.Kind() {
	case KindInt64, KindInt64L:
		return int64(v.bits(8)), true
	case KindInt32:
		return int64(int32(v.bits(4))), true
	case KindUint32:
		return int64(v.bits(4)), true
	case KindInt16:
		return int64(int16(v.bits(2))), true
	case KindUint16:
		return int64(v.bits(2)), true
	case KindInt8:
		return int64(int8(v.bits(1))), true
	case KindUint8:
		return int64(v.bits(1)), true
	}
	return 0, false
}

// Float returns the number if the value is a float or a double.
func (v Value) Float() (f float64, ok bool) {
	switch v.Kind() {
	case KindFloat32:
		return float64(math.Float32frombits(uint32(v.bits(4)))), true
	case KindFloat64:
		return math.Float64frombits(v.bits(8)), true
	}
	return 0, false
}

// Bool returns the truth if the value is a boolean. Every octet but 0 is true.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != KindBool {
		return false, false
	}
	return v.enc[1] != 0, true
}

// Timestamp returns the seconds since 1970 if the value is a timestamp.
func (v Value) Timestamp() (seconds uint64, ok bool) {
	if v.Kind() != KindTimestamp {
		return 0, false
	}
	return v.bits(8), true
}

// Decimal returns the decimal if the value is one.
func (v Value) Decimal() (d Decimal, ok bool) {
	if v.Kind() != KindDecimal {
		return Decimal{}, false
	}
	return Decimal{Scale: v.enc[1], Value: uint32(beUint(v.enc[2:6]))}, true
}

// Text returns the bytes if the value is a string.
func (v Value) Text() (s string, ok bool) {
	if v.Kind() != KindString {
		return "", false
	}
	return v.enc[5:], true
}

// Bytes returns the bytes if the value is a byte array.
func (v Value) Bytes() (s string, ok bool) {
	if v.Kind() != KindBytes {
		return "", false
	}
	return v.enc[5:], true
}

// Table returns the fields if the value is a table.
func (v Value) Table() (t Table, ok bool) {
	if v.Kind() != KindTable {
		return nil, false
	}
	return fieldsOf(v.enc[5:]), true
}

// Array returns the items if the value is an array.
func (v Value) Array() (items []Value, ok bool) {
	if v.Kind() != KindArray {
		return nil, false
	}
	return itemsOf(v.enc[5:]), true
}

// bits returns the number in the first bytes behind the tag.
func (v Value) bits(width int) uint64 { return beUint(v.enc[1 : 1+width]) }

func beUint(s string) uint64 {
	var n uint64
	for i := range len(s) {
		n = n<<8 | uint64(s[i])
	}
	return n
}

// view returns a string over b's memory: what lets one decoder serve both kept
// and passing bytes without copying the latter. It is good for as long as b is
// not written to.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
