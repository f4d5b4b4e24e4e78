package wire

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func genValue(depth int) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		kinds := "bBsuIilLtfdDTSxV"
		if depth < 3 {
			kinds += "FA"
		}
		switch k := Kind(rapid.SampledFrom([]byte(kinds)).Draw(t, "kind")); k {
		case KindInt8:
			return Int8(rapid.Int8().Draw(t, "n"))
		case KindUint8:
			return Uint8(rapid.Uint8().Draw(t, "n"))
		case KindInt16:
			return Int16(rapid.Int16().Draw(t, "n"))
		case KindUint16:
			return Uint16(rapid.Uint16().Draw(t, "n"))
		case KindInt32:
			return Int32(rapid.Int32().Draw(t, "n"))
		case KindUint32:
			return Uint32(rapid.Uint32().Draw(t, "n"))
		case KindInt64, KindInt64L:
			return Int64(rapid.Int64().Draw(t, "n"))
		case KindBool:
			return Bool(rapid.Bool().Draw(t, "b"))
		case KindFloat32:
			return Float32(rapid.Float32().Draw(t, "f"))
		case KindFloat64:
			return Float64(rapid.Float64().Draw(t, "f"))
		case KindDecimal:
			return DecimalOf(Decimal{rapid.Uint8().Draw(t, "scale"), rapid.Uint32().Draw(t, "value")})
		case KindTimestamp:
			return Timestamp(rapid.Uint64().Draw(t, "T"))
		case KindString:
			return String(rapid.String().Draw(t, "s"))
		case KindBytes:
			return Bytes(rapid.SliceOf(rapid.Byte()).Draw(t, "x"))
		case KindTable:
			return TableOf(genTable(depth+1).Draw(t, "table"))
		case KindArray:
			return Array(rapid.SliceOfN(genValue(depth+1), 0, 4).Draw(t, "items")...)
		}
		return Void()
	})
}

func genTable(depth int) *rapid.Generator[Table] {
	return rapid.Custom(func(t *rapid.T) Table {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Field {
			return Field{Key: rapid.StringN(0, 8, 255).Draw(t, "key"), Value: genValue(depth).Draw(t, "value")}
		}), 0, 6).Draw(t, "fields")
	})
}

// TestTableRoundTrip: what was built is read back, by each of the readers.
func TestTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := genTable(0).Draw(t, "table")
		body := table.AppendBody(nil)
		got, err := DecodeTable(body)
		if err != nil {
			t.Fatal(err)
		}
		if dumpTable(got) != dumpTable(table) || !bytes.Equal(got.AppendBody(nil), body) {
			t.Fatalf("%s became %s", dumpTable(table), dumpTable(got))
		}
		for _, f := range table {
			first, _ := table.Get(f.Key)
			v, ok := Lookup(body, f.Key)
			if !ok || dumpValue(v) != dumpValue(first) {
				t.Fatalf("Lookup of %q: %v, want %v", f.Key, dumpValue(v), dumpValue(first))
			}
		}
		if _, ok := Lookup(body, "a key that no table has"); ok {
			t.Fatal("Lookup found what is not there")
		}
	})
}

func genProperties() *rapid.Generator[Properties] {
	return rapid.Custom(func(t *rapid.T) Properties {
		p := Properties{Present: Flags(rapid.Uint16().Draw(t, "present")) & allFlags}
		for _, x := range p.texts() {
			*x.value = rapid.StringN(0, 10, 255).Draw(t, x.name)
		}
		p.Headers = genTable(0).Draw(t, "headers")
		p.DeliveryMode = rapid.Uint8Range(0, 2).Draw(t, "mode")
		p.Priority = rapid.Uint8().Draw(t, "priority")
		p.Timestamp = rapid.SampledFrom([]uint64{0, 1, math.MaxUint64}).Draw(t, "timestamp")
		return p
	})
}

// TestPropertiesRoundTrip: raw accessors and the struct say the same, and
// clearing a property leaves the others as they were.
func TestPropertiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := genProperties().Draw(t, "properties")
		raw := Props(p.Append(nil))
		if err := raw.Validate(); err != nil {
			t.Fatal(err)
		}
		got, err := raw.Decode()
		if err != nil {
			t.Fatal(err)
		}
		compareAccessors(t, raw, &p)
		if name := rapid.StringN(0, 10, 255).Draw(t, "reply-to"); raw.Has(HasReplyTo) {
			moved := p
			moved.ReplyTo, moved.Present = name, moved.Present|HasReplyTo
			if a, b := raw.AppendReplyTo(nil, name), moved.Append(nil); !bytes.Equal(a, b) {
				t.Fatalf("with another reply-to: %q, want %q", a, b)
			}
		} else if a := raw.AppendReplyTo(nil, name); !bytes.Equal(a, raw) {
			t.Fatalf("without reply-to: %q, want %q", a, raw)
		}
		gone := Flags(rapid.Uint16().Draw(t, "gone"))
		got.Clear(gone)
		less, err := Props(got.Append(nil)).Decode()
		if err != nil {
			t.Fatal(err)
		}
		if less.Present != raw.flags()&^gone {
			t.Fatalf("present %x without %x is %x", raw.flags(), gone, less.Present)
		}
		want := p
		want.Clear(gone)
		want.Present = less.Present
		if a, b := normal(less), normal(want); !reflect.DeepEqual(a, b) {
			t.Fatalf("got %+v, want %+v", a, b)
		}
	})
}

// normal makes an empty table a nil one, and values comparable.
func normal(p Properties) Properties {
	if len(p.Headers) == 0 {
		p.Headers = nil
	}
	for i, f := range p.Headers {
		p.Headers[i].Value = Value{string(f.Value.Append(nil))}
	}
	return p
}

func compareAccessors(t *rapid.T, raw Props, p *Properties) {
	for i, got := range [][]byte{
		raw.ContentType(), raw.ContentEncoding(), raw.CorrelationID(), raw.ReplyTo(), raw.Expiration(),
		raw.MessageID(), raw.Type(), raw.UserID(), raw.AppID(), raw.ClusterID(),
	} {
		x := p.texts()[i]
		if string(got) != *x.value {
			t.Fatalf("%s is %q, want %q", x.name, got, *x.value)
		}
		if (got != nil) != raw.Has(x.flag) {
			t.Fatalf("%s: present %v, value %v", x.name, raw.Has(x.flag), got)
		}
	}
	if raw.DeliveryMode() != p.DeliveryMode || raw.Persistent() != (p.DeliveryMode == 2) ||
		raw.Priority() != p.Priority || raw.Timestamp() != p.Timestamp {
		t.Fatalf("numbers: %d %d %d", raw.DeliveryMode(), raw.Priority(), raw.Timestamp())
	}
	if got := p.Headers.AppendBody(nil); !bytes.Equal(raw.Headers(), got) {
		t.Fatalf("headers %x, want %x", raw.Headers(), got)
	}
}

// TestTableEdits: With and Without against a plain list.
func TestTableEdits(t *testing.T) {
	table := Table{{"a", Int32(1)}, {"b", Int32(2)}, {"a", Int32(3)}}
	table = table.With("c", Bool(true)).With("a", String("new"))
	if got, want := dumpTable(table), `{"a": S "new", "b": I 2, "a": I 3, "c": t true}`; got != want {
		t.Fatalf("with: %s, want %s", got, want)
	}
	if got, want := dumpTable(table.Without("a")), `{"b": I 2, "c": t true}`; got != want {
		t.Fatalf("without: %s, want %s", got, want)
	}
}

// TestViewsDoNotOutliveTheBuffer shows what Clone is for, and that decoded
// tables need none.
func TestViewsDoNotOutliveTheBuffer(t *testing.T) {
	body := Table{{"k", String("before")}}.AppendBody(nil)
	seen, _ := Lookup(body, "k")
	kept := seen.Clone()
	table, err := DecodeTable(body)
	if err != nil {
		t.Fatal(err)
	}
	copy(body[len(body)-6:], "after!")
	if s, _ := kept.Text(); s != "before" {
		t.Errorf("the clone reads %q", s)
	}
	if s, _ := table[0].Value.Text(); s != "before" {
		t.Errorf("the table reads %q", s)
	}
	if s, _ := seen.Text(); s != "after!" {
		t.Errorf("the view reads %q: it is a copy, and costs one", s)
	}
}
