package wire

import (
	"encoding/binary"
	"iter"
)

// A Table is a field table. Order, integer widths and duplicate keys are kept.
type Table []Field

// A Field is one entry of a table.
type Field struct {
	Key   string // at most 255 bytes
	Value Value
}

// DecodeTable decodes the body of a table: what follows its length. The table
// owns its bytes. The error is an *Error.
func DecodeTable(body []byte) (Table, error) {
	t, f := decodeTable(body)
	if f.reason != sound {
		return nil, f.reply(0)
	}
	return t, nil
}

// ValidateTable checks the body of a table without allocating. What it passes,
// DecodeTable, Lookup and Fields read.
func ValidateTable(body []byte) error {
	if _, f := checkTable(view(body), 0); f.reason != sound {
		return f.reply(0)
	}
	return nil
}

// Lookup finds the first field with the key in the body of a table that was
// validated. The value is a view of body.
func Lookup(body []byte, key string) (Value, bool) {
	for k, v := range Fields(body) {
		if k == key {
			return v, true
		}
	}
	return Value{}, false
}

// Fields iterates over the body of a table that was validated. Keys and values
// are views of body.
func Fields(body []byte) iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for s := view(body); len(s) > 0; {
			f, rest, ok := cutField(s)
			if !ok || !yield(f.Key, f.Value) {
				return
			}
			s = rest
		}
	}
}

// Get returns the value of the first field with the key.
func (t Table) Get(key string) (Value, bool) {
	for i := range t {
		if t[i].Key == key {
			return t[i].Value, true
		}
	}
	return Value{}, false
}

// With returns a table in which key has the value, in the place of the first
// field of that key or at the end. It may reuse t's memory.
func (t Table) With(key string, v Value) Table {
	for i := range t {
		if t[i].Key == key {
			t[i].Value = v
			return t
		}
	}
	return append(t, Field{key, v})
}

// Without returns the table without any field of the key. It reuses t's memory.
func (t Table) Without(key string) Table {
	kept := t[:0]
	for _, f := range t {
		if f.Key != key {
			kept = append(kept, f)
		}
	}
	clear(t[len(kept):])
	return kept
}

// fits reports whether every key can be written.
func (t Table) fits() bool {
	for i := range t {
		if len(t[i].Key) > maxShort {
			return false
		}
	}
	return true
}

// Append appends the table with its length in front. It panics when a key is
// longer than 255 bytes.
func (t Table) Append(dst []byte) []byte {
	at := len(dst)
	dst = t.AppendBody(append(dst, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// AppendBody appends the table without its length.
func (t Table) AppendBody(dst []byte) []byte {
	for i := range t {
		dst = appendShort(dst, t[i].Key)
		dst = t[i].Value.Append(dst)
	}
	return dst
}

func decodeTable(body []byte) (Table, fault) {
	if len(body) == 0 {
		return nil, fault{}
	}
	n, f := checkTable(view(body), 0)
	if f.reason != sound {
		return nil, f
	}
	return readFields(string(body), make(Table, 0, n)), fault{}
}

// fieldsOf reads a table body that is known to be sound.
func fieldsOf(body string) Table {
	n, _ := checkTable(body, 0)
	if n == 0 {
		return nil
	}
	return readFields(body, make(Table, 0, n))
}

func readFields(body string, t Table) Table {
	for len(body) > 0 {
		f, rest, ok := cutField(body)
		if !ok {
			break
		}
		t = append(t, f)
		body = rest
	}
	return t
}

// itemsOf reads an array body that is known to be sound.
func itemsOf(body string) []Value {
	n, _ := checkArray(body, 0)
	if n == 0 {
		return nil
	}
	items := make([]Value, 0, n)
	for len(body) > 0 {
		size := valueLen(body)
		if size <= 0 {
			break
		}
		items = append(items, Value{body[:size]})
		body = body[size:]
	}
	return items
}

// cutField takes the first field from a table body.
func cutField(s string) (f Field, rest string, ok bool) {
	k := 1 + int(s[0])
	if k >= len(s) {
		return Field{}, "", false
	}
	size := valueLen(s[k:])
	if size <= 0 {
		return Field{}, "", false
	}
	return Field{Key: s[1:k], Value: Value{s[k : k+size]}}, s[k+size:], true
}
