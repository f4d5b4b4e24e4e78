package message

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func valueGen(depth int) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		k := Kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind"))
		if depth == 0 && k >= List {
			k = Null
		}
		switch k {
		case Null:
			return Value{}
		case Bool:
			return BoolOf(rapid.Bool().Draw(t, "bool"))
		case Int8:
			return IntOf(k, int64(rapid.Int8().Draw(t, "int")))
		case Int16:
			return IntOf(k, int64(rapid.Int16().Draw(t, "int")))
		case Int32:
			return IntOf(k, int64(rapid.Int32().Draw(t, "int")))
		case Int64, Timestamp:
			return IntOf(k, rapid.Int64().Draw(t, "int"))
		case Uint8:
			return UintOf(k, uint64(rapid.Uint8().Draw(t, "uint")))
		case Uint16:
			return UintOf(k, uint64(rapid.Uint16().Draw(t, "uint")))
		case Uint32, Char:
			return UintOf(k, uint64(rapid.Uint32().Draw(t, "uint")))
		case Uint64:
			return UintOf(k, rapid.Uint64().Draw(t, "uint"))
		case Float32:
			return Float32Of(rapid.Float32().Draw(t, "float"))
		case Float64:
			return Float64Of(rapid.Float64().Draw(t, "float"))
		case Map:
			return TableOf(tableGen(depth-1).Draw(t, "table"))
		case List, Array, Pairs:
			var data []byte
			n := rapid.IntRange(0, 2).Draw(t, "members") * 2
			for range n {
				data = AppendValue(data, valueGen(depth-1).Draw(t, "member"))
			}
			return BytesOf(k, data)
		}
		n := map[Kind]int{Decimal: 5, Decimal32: 4, Decimal64: 8, Decimal128: 16, UUID: 16}[k]
		if n == 0 {
			n = rapid.IntRange(0, 20).Draw(t, "length")
		}
		return BytesOf(k, rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes"))
	})
}

func tableGen(depth int) *rapid.Generator[Table] {
	return rapid.Custom(func(t *rapid.T) (table Table) {
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			table = AppendField(table, rapid.StringN(0, 3, 9).Draw(t, "name"), valueGen(depth).Draw(t, "value"))
		}
		return table
	})
}

// plain makes values comparable that differ in empty against nil only.
func plain(v Value) string { return fmt.Sprintf("%d %d %x", v.kind, v.num, v.data) }

func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := valueGen(3).Draw(t, "value")
		data := AppendValue(nil, v)
		got, rest, err := ReadValue(append(data, 7))
		if err != nil || len(rest) != 1 || plain(got) != plain(v) {
			t.Fatalf("%v: %v, rest %x, %v", v, got, rest, err)
		}
		if f, isFloat := v.Float(); !got.Equal(v) && !(isFloat && math.IsNaN(f)) {
			t.Fatalf("%v does not equal itself", v)
		}
		if err := checkValue(got, 0); err != nil {
			t.Fatal(err)
		}
		for i := range data {
			if _, _, err := ReadValue(data[:i]); !errors.Is(err, ErrValue) {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
	})
}

func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := tableGen(2).Draw(t, "table")
		if err := table.Check(); err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		i := 0
		fields := table.AppendFields(nil)
		for name, v := range table.All() {
			if string(fields[i].Name) != name || plain(fields[i].Value) != plain(v) {
				t.Fatalf("field %d is %v", i, fields[i])
			}
			i++
			if _, double := seen[name]; !double {
				seen[name] = plain(v)
			}
		}
		if i != len(fields) {
			t.Fatalf("%d of %d fields", i, len(fields))
		}
		for name, want := range seen {
			if v, ok := table.Lookup(name); !ok || plain(v) != want {
				t.Fatalf("%q is %v", name, v)
			}
		}
		sorted := table.Sorted()
		if len(sorted) != len(table) || !reflect.DeepEqual(sorted.Sorted(), sorted) {
			t.Fatalf("sorted %x of %x", sorted, table)
		}
		last := ""
		for name := range sorted.All() {
			if name < last {
				t.Fatalf("%q after %q", name, last)
			}
			last = name
		}
	})
}

func TestEqual(t *testing.T) {
	text := StringOf("1")
	for _, c := range []struct {
		name string
		a, b Value
		want bool
	}{
		{"widths", IntOf(Int8, 7), UintOf(Uint64, 7), true},
		{"minus one is not the largest", IntOf(Int64, -1), UintOf(Uint64, math.MaxUint64), false},
		{"minus one in two widths", IntOf(Int8, -1), IntOf(Int64, -1), true},
		{"integer and text", IntOf(Int32, 1), text, false},
		{"integer and float", IntOf(Int32, 1), Float64Of(1), false},
		{"integer and bool", IntOf(Int32, 1), BoolOf(true), false},
		{"integer and timestamp", IntOf(Int64, 1), IntOf(Timestamp, 1), false},
		{"floats", Float32Of(0.5), Float64Of(0.5), true},
		{"string and symbol", text, BytesOf(Symbol, []byte("1")), true},
		{"string and binary", text, BytesOf(Binary, []byte("1")), false},
		{"nulls", Value{}, Value{}, true},
		{"NaN", Float64Of(math.NaN()), Float64Of(math.NaN()), false},
		{"tables", TableOf(AppendField(nil, "a", text)), TableOf(AppendField(nil, "a", text)), true},
	} {
		if c.a.Equal(c.b) != c.want || c.b.Equal(c.a) != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

func TestIntegers(t *testing.T) {
	if i, ok := UintOf(Uint64, math.MaxUint64).Int(); ok {
		t.Errorf("too large a number is %d", i)
	}
	if i, ok := IntOf(Int16, -3).Int(); !ok || i != -3 {
		t.Errorf("%d %v", i, ok)
	}
	if u, ok := IntOf(Int16, -3).Uint(); ok {
		t.Errorf("a negative number is %d", u)
	}
	if _, ok := StringOf("3").Int(); ok {
		t.Error("text is an integer")
	}
}

func TestTooDeep(t *testing.T) {
	var v Value
	for range maxDepth + 2 {
		v = BytesOf(List, AppendValue(nil, v))
	}
	if err := AppendField(nil, "deep", v).Check(); !errors.Is(err, ErrValue) {
		t.Errorf("%v", err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte(AppendField(nil, "a", TableOf(AppendField(nil, "b", StringOf("c"))))))
	f.Add([]byte(AppendField(nil, "n", BytesOf(Pairs, AppendValue(AppendValue(nil, IntOf(Int8, -1)), Float32Of(2))))))
	f.Fuzz(func(t *testing.T, data []byte) {
		table := Table(data)
		if table.Check() != nil {
			return
		}
		var again Table
		for name, v := range table.All() {
			again = AppendField(again, name, v)
			v.Values(nil)
		}
		if string(again) != string(table) {
			t.Fatalf("%x comes back as %x", table, again)
		}
	})
}
