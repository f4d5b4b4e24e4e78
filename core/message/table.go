package message

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Table is an encoded list of named values, in the order they came and with
// doubles kept: headers, arguments, nested maps. The zero Table is empty.
type Table []byte

// A Field is one named value. Both parts may alias the buffer they come from.
type Field struct {
	Name  []byte
	Value Value
}

// AppendField appends a named value to a table.
func AppendField(t Table, name string, v Value) Table {
	t = appendString(t, name)
	return AppendValue(t, v)
}

// AppendFieldBytes is AppendField for a name in a buffer.
func AppendFieldBytes(t Table, name []byte, v Value) Table {
	t = appendBytes(t, name)
	return AppendValue(t, v)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// All iterates over the fields. It ends early where the table is malformed.
func (t Table) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for data := []byte(t); len(data) > 0; {
			var f Field
			var ok bool
			if f, data, ok = readField(data); !ok || !yield(string(f.Name), f.Value) {
				return
			}
		}
	}
}

// AppendFields appends the fields to dst; they alias the table.
func (t Table) AppendFields(dst []Field) []Field {
	for data := []byte(t); len(data) > 0; {
		var f Field
		var ok bool
		if f, data, ok = readField(data); !ok {
			break
		}
		dst = append(dst, f)
	}
	return dst
}

// Lookup returns the first value under name. It allocates nothing.
func (t Table) Lookup(name string) (Value, bool) {
	for data := []byte(t); len(data) > 0; {
		var f Field
		var ok bool
		if f, data, ok = readField(data); !ok {
			break
		}
		if string(f.Name) == name {
			return f.Value, true
		}
	}
	return Value{}, false
}

// Sorted returns the table with its fields in order of their names; those of
// one name keep their order.
func (t Table) Sorted() Table {
	fields := t.AppendFields(nil)
	byName := func(a, b Field) int { return strings.Compare(string(a.Name), string(b.Name)) }
	if slices.IsSortedFunc(fields, byName) {
		return t
	}
	slices.SortStableFunc(fields, byName)
	out := make(Table, 0, len(t))
	for _, f := range fields {
		out = AppendFieldBytes(out, f.Name, f.Value)
	}
	return out
}

// Check reports whether the table is well formed throughout.
func (t Table) Check() error { return checkTable(t, 0) }

func readField(data []byte) (f Field, rest []byte, ok bool) {
	r := reader{data: data}
	f.Name = r.bytes()
	if r.failed {
		return f, nil, false
	}
	var err error
	f.Value, rest, err = ReadValue(r.data)
	return f, rest, err == nil
}

func checkTable(data []byte, depth int) error {
	for len(data) > 0 {
		f, rest, ok := readField(data)
		if !ok {
			return fmt.Errorf("%w: in a table at depth %d", ErrValue, depth)
		}
		if err := checkValue(f.Value, depth+1); err != nil {
			return err
		}
		data = rest
	}
	return nil
}

// checkValue looks into containers.
func checkValue(v Value, depth int) error {
	s := shapeOf(v.kind)
	if s != shapeTable && s != shapeValues {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("%w: deeper than %d", ErrValue, maxDepth)
	}
	if s == shapeTable {
		return checkTable(v.data, depth)
	}
	n := 0
	for data := v.data; len(data) > 0; n++ {
		m, rest, err := ReadValue(data)
		if err != nil {
			return fmt.Errorf("%w: in a list at depth %d", err, depth)
		}
		if err := checkValue(m, depth+1); err != nil {
			return err
		}
		data = rest
	}
	if v.kind == Pairs && n%2 != 0 {
		return fmt.Errorf("%w: a key without a value", ErrValue)
	}
	return nil
}
