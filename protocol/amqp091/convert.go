package amqp091

import (
	"strings"
	"unsafe"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// table turns arguments into the hub's form. Order and types stay.
func table(t wire.Table) message.Table {
	var out message.Table
	for i := range t {
		out = message.AppendField(out, t[i].Key, value(t[i].Value))
	}
	return out
}

// value turns a field value into the hub's: spec/mapping.md, section 3.
func value(v wire.Value) message.Value {
	switch v.Kind() {
	case wire.KindString:
		s, _ := v.Text()
		return message.StringOf(s)
	case wire.KindBytes:
		s, _ := v.Bytes()
		return message.BytesOf(message.Binary, []byte(s))
	case wire.KindBool:
		b, _ := v.Bool()
		return message.BoolOf(b)
	case wire.KindFloat32:
		f, _ := v.Float()
		return message.Float32Of(float32(f))
	case wire.KindFloat64:
		f, _ := v.Float()
		return message.Float64Of(f)
	case wire.KindTimestamp:
		s, _ := v.Timestamp()
		return message.IntOf(message.Timestamp, int64(s)*1000)
	case wire.KindDecimal:
		d, _ := v.Decimal()
		return message.BytesOf(message.Decimal, []byte{d.Scale, byte(d.Value >> 24), byte(d.Value >> 16), byte(d.Value >> 8), byte(d.Value)})
	case wire.KindTable:
		t, _ := v.Table()
		return message.TableOf(table(t))
	case wire.KindArray:
		items, _ := v.Array()
		var b []byte
		for _, it := range items {
			b = message.AppendValue(b, value(it))
		}
		return message.BytesOf(message.List, b)
	case wire.KindVoid:
		return message.Value{}
	default:
		return integer(v)
	}
}

func integer(v wire.Value) message.Value {
	n, _ := v.Int()
	switch v.Kind() {
	case wire.KindInt8:
		return message.IntOf(message.Int8, n)
	case wire.KindInt16:
		return message.IntOf(message.Int16, n)
	case wire.KindInt32:
		return message.IntOf(message.Int32, n)
	case wire.KindUint8:
		return message.UintOf(message.Uint8, uint64(n))
	case wire.KindUint16:
		return message.UintOf(message.Uint16, uint64(n))
	case wire.KindUint32:
		return message.UintOf(message.Uint32, uint64(n))
	default:
		return message.IntOf(message.Int64, n)
	}
}

// headers give a message's headers to a headers exchange.
type headers struct{ props wire.Props }

// AppendFields implements exchange.Fields. Names and texts alias the message.
func (h *headers) AppendFields(dst []message.Field) []message.Field {
	for k, v := range wire.Fields(h.props.Headers()) {
		f := message.Field{Name: bytesOf(k)}
		if v.Kind() == wire.KindString {
			s, _ := v.Text()
			f.Value = message.BytesOf(message.String, bytesOf(s))
		} else {
			f.Value = value(v)
		}
		dst = append(dst, f)
	}
	return dst
}

// bytesOf returns the bytes of a text, which nobody may change.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stripped removes the line ends that RabbitMQ removes from queue names.
func stripped(name string) string {
	if !strings.ContainsAny(name, "\r\n") {
		return name
	}
	return strings.NewReplacer("\r", "", "\n", "").Replace(name)
}
