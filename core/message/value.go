package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// A Kind is the canonical type of a Value. It keeps apart what any protocol
// keeps apart, so that a value returns as it came.
type Kind uint8

// The kinds. The numbers are written to disk.
const (
	Null Kind = iota
	Bool
	Int8
	Uint8
	Int16
	Uint16
	Int32
	Uint32
	Int64
	Uint64
	Float32
	Float64
	Decimal    // scale, then value as four bytes, most significant first
	Decimal32  // IEEE 754 decimal, four bytes, most significant first
	Decimal64  // eight bytes
	Decimal128 // sixteen bytes
	Char       // a Unicode code point
	Timestamp  // milliseconds since 1970
	UUID       // sixteen bytes
	String     // text; UTF-8 unless its publisher's protocol promises none
	Symbol     // text
	Binary
	List  // Values
	Array // Values, all of one kind
	Map   // a Table
	Pairs // Values: keys and values in turn, for maps whose keys are not all text
	kinds // their number
)

// A Value is one typed value. It is immutable and may alias the buffer it was
// read from.
type Value struct {
	kind Kind
	num  uint64 // numbers: the bits, sign-extended; floats: IEEE 754
	data []byte // everything else
}

// ErrValue is returned for an encoded value or table that is malformed.
var ErrValue = errors.New("message: malformed value")

// maxDepth bounds how deep values may nest.
const maxDepth = 64

// BoolOf returns a Bool.
func BoolOf(b bool) Value {
	if b {
		return Value{kind: Bool, num: 1}
	}
	return Value{kind: Bool}
}

// IntOf returns a signed integer of kind k (Int8 to Int64), a Char or a Timestamp.
func IntOf(k Kind, v int64) Value { return Value{kind: k, num: uint64(v)} }

// UintOf returns an unsigned integer of kind k.
func UintOf(k Kind, v uint64) Value { return Value{kind: k, num: v} }

// Float32Of returns a Float32.
func Float32Of(f float32) Value { return Value{kind: Float32, num: uint64(math.Float32bits(f))} }

// Float64Of returns a Float64.
func Float64Of(f float64) Value { return Value{kind: Float64, num: math.Float64bits(f)} }

// BytesOf returns a value of a kind that is made of bytes: text, binary, UUID,
// decimals, or a container with its encoded content. It keeps b.
func BytesOf(k Kind, b []byte) Value { return Value{kind: k, data: b} }

// StringOf returns a String.
func StringOf(s string) Value { return Value{kind: String, data: []byte(s)} }

// TableOf returns a Map.
func TableOf(t Table) Value { return Value{kind: Map, data: t} }

// Kind returns the value's kind. The zero Value is Null.
func (v Value) Kind() Kind { return v.kind }

// Bool returns the value of a Bool.
func (v Value) Bool() bool { return v.num != 0 }

// Int returns an integer of any kind by value; ok is false if the kind is not
// an integer or the value does not fit.
func (v Value) Int() (i int64, ok bool) {
	if v.class() != classInt {
		return 0, false
	}
	return int64(v.num), v.signed() || int64(v.num) >= 0
}

// Uint is Int for numbers that are not negative.
func (v Value) Uint() (u uint64, ok bool) {
	if v.class() != classInt || v.signed() && int64(v.num) < 0 {
		return 0, false
	}
	return v.num, true
}

// Float returns a floating point number of either width.
func (v Value) Float() (f float64, ok bool) {
	switch v.kind {
	case Float32:
		return float64(math.Float32frombits(uint32(v.num))), true
	case Float64:
		return math.Float64frombits(v.num), true
	default:
		return 0, false
	}
}

// Num returns a Char or Timestamp.
func (v Value) Num() int64 { return int64(v.num) }

// Bytes returns the bytes of a value that is made of bytes. They must not be
// changed.
func (v Value) Bytes() []byte { return v.data }

// Text returns the content of a String or Symbol.
func (v Value) Text() (s string, ok bool) {
	if v.kind != String && v.kind != Symbol {
		return "", false
	}
	return string(v.data), true
}

// Table returns the content of a Map.
func (v Value) Table() (t Table, ok bool) {
	if v.kind != Map {
		return nil, false
	}
	return v.data, true
}

// Values appends the members of a List, Array or Pairs to dst.
func (v Value) Values(dst []Value) []Value {
	if v.kind != List && v.kind != Array && v.kind != Pairs {
		return dst
	}
	for data := v.data; len(data) > 0; {
		var m Value
		var err error
		if m, data, err = ReadValue(data); err != nil {
			break
		}
		dst = append(dst, m)
	}
	return dst
}

type class uint8

const (
	classOther class = iota
	classInt
	classFloat
	classText
)

// class groups the kinds whose values may be equal to each other.
func (v Value) class() class {
	switch {
	case v.kind >= Int8 && v.kind <= Uint64:
		return classInt
	case v.kind == Float32 || v.kind == Float64:
		return classFloat
	case v.kind == String || v.kind == Symbol:
		return classText
	}
	return classOther
}

func (v Value) signed() bool {
	return v.kind == Int8 || v.kind == Int16 || v.kind == Int32 || v.kind == Int64
}

// Equal reports whether two values are equal to a binding or a declaration:
// integers and floats by value whatever their width, text by its bytes,
// anything else by kind and content. NaN equals nothing.
func (v Value) Equal(w Value) bool {
	c := v.class()
	if c != w.class() {
		return false
	}
	switch c {
	case classInt:
		return v.num == w.num && v.negative() == w.negative()
	case classFloat:
		a, _ := v.Float()
		b, _ := w.Float()
		return a == b
	case classText:
		return bytes.Equal(v.data, w.data)
	}
	return v.kind == w.kind && v.num == w.num && bytes.Equal(v.data, w.data)
}

func (v Value) negative() bool { return v.signed() && int64(v.num) < 0 }

// AppendValue appends the encoding of v to dst.
func AppendValue(dst []byte, v Value) []byte {
	dst = append(dst, byte(v.kind))
	switch shapeOf(v.kind) {
	case shapeBool:
		return append(dst, byte(v.num))
	case shapeSigned:
		return binary.AppendVarint(dst, int64(v.num))
	case shapeUnsigned:
		return binary.AppendUvarint(dst, v.num)
	case shapeFixed:
		return binary.BigEndian.AppendUint64(dst, v.num)
	case shapeBytes, shapeTable, shapeValues:
		return appendBytes(dst, v.data)
	default:
		return dst
	}
}

type shape uint8

const (
	shapeNone shape = iota
	shapeBool
	shapeSigned
	shapeUnsigned
	shapeFixed
	shapeBytes
	shapeTable
	shapeValues
)

func shapeOf(k Kind) shape {
	switch k {
	case Bool:
		return shapeBool
	case Int8, Int16, Int32, Int64, Timestamp:
		return shapeSigned
	case Uint8, Uint16, Uint32, Uint64, Char:
		return shapeUnsigned
	case Float32, Float64:
		return shapeFixed
	case Decimal, Decimal32, Decimal64, Decimal128, UUID, String, Symbol, Binary:
		return shapeBytes
	case Map:
		return shapeTable
	case List, Array, Pairs:
		return shapeValues
	default:
		return shapeNone
	}
}

// ReadValue takes the first value off data. Containers are not looked into;
// CheckTable does that. The value aliases data.
func ReadValue(data []byte) (v Value, rest []byte, err error) {
	r := reader{data: data}
	v.kind = Kind(r.byte())
	switch shapeOf(v.kind) {
	case shapeBool:
		v.num = uint64(r.byte())
		r.failed = r.failed || v.num > 1
	case shapeSigned:
		v.num = uint64(unzigzag(r.uvarint()))
	case shapeUnsigned:
		v.num = r.uvarint()
	case shapeFixed:
		if b := r.take(8); b != nil {
			v.num = binary.BigEndian.Uint64(b)
		}
	case shapeBytes, shapeTable, shapeValues:
		v.data = r.bytes()
	default:
		r.failed = r.failed || v.kind != Null
	}
	if r.failed || !v.inRange() {
		return Value{}, nil, ErrValue
	}
	return v, r.data, nil
}

// inRange reports whether the value is one that its kind has.
func (v Value) inRange() bool {
	switch v.kind {
	case Int8:
		return int64(v.num) == int64(int8(v.num))
	case Int16:
		return int64(v.num) == int64(int16(v.num))
	case Int32:
		return int64(v.num) == int64(int32(v.num))
	case Uint8:
		return v.num <= math.MaxUint8
	case Uint16:
		return v.num <= math.MaxUint16
	case Uint32, Char, Float32:
		return v.num <= math.MaxUint32
	case Decimal:
		return len(v.data) == 5
	case Decimal32:
		return len(v.data) == 4
	case Decimal64:
		return len(v.data) == 8
	case Decimal128, UUID:
		return len(v.data) == 16
	default:
		return v.kind < kinds
	}
}
