package amqp091

import (
	"math"
	"strconv"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// The headers that tell of a message's deaths.
const (
	deathHeader      = "x-death"
	firstDeathPrefix = "x-first-death-"
	lastDeathPrefix  = "x-last-death-"
)

// properties returns the properties of a stored message as they are delivered:
// those of its publisher, unless the broker changed something since.
func properties(m *message.Message) wire.Props {
	if m.Protocol == message.Internal {
		return madeHere(m)
	}
	if len(m.Overlay) == 0 {
		return wire.Props(m.Properties)
	}
	return overlaid(m)
}

// overlaid writes what the broker changed into the properties.
func overlaid(m *message.Message) wire.Props {
	raw := wire.Props(m.Properties)
	_, noTTL := m.Overlaid(message.OverlayNoTTL)
	_, died := m.Overlaid(message.OverlayDeaths)
	added, hasAdded := m.Overlaid(message.OverlayHeaders)
	shown, hidden, copied := m.Copies()
	uncopied := copied && len(shown)+len(hidden) == 0
	if !noTTL && !died && !hasAdded && !uncopied {
		return raw
	}
	p, err := raw.Decode()
	if err != nil {
		return raw // checked when it came in
	}
	if noTTL {
		p.Clear(wire.HasExpiration)
	}
	if uncopied {
		p.Headers = p.Headers.Without(copyHeader)
	}
	for name, v := range message.Table(added).All() {
		p.Headers = p.Headers.With(name, wireValue(v))
	}
	if died {
		p.Headers = withDeaths(p.Headers, m)
	}
	return p.Append(nil)
}

// withDeaths returns the headers with the history of the message's deaths, in
// place of what its publisher wrote there.
func withDeaths(t wire.Table, m *message.Message) wire.Table {
	ds, err := m.Deaths()
	if err != nil || len(ds) == 0 {
		return t
	}
	var all []wire.Value
	first := &ds[len(ds)-1]
	for i := range ds {
		d := &ds[i]
		if d.First {
			first = d
		}
		all = append(all, wire.TableOf(deathTable(d)))
	}
	t = t.With(deathHeader, wire.Array(all...))
	for _, x := range [...]struct {
		prefix string
		d      *message.Death
	}{{firstDeathPrefix, first}, {lastDeathPrefix, &ds[0]}} {
		t = t.With(x.prefix+"reason", wire.String(x.d.Reason))
		t = t.With(x.prefix+"queue", wire.String(x.d.Queue))
		t = t.With(x.prefix+"exchange", wire.String(x.d.Exchange))
	}
	return t
}

func deathTable(d *message.Death) wire.Table {
	keys := make([]wire.Value, len(d.Keys))
	for i, k := range d.Keys {
		keys[i] = wire.String(k)
	}
	t := wire.Table{
		{Key: "count", Value: wire.Int64(int64(min(d.Count, math.MaxInt64)))},
		{Key: "reason", Value: wire.String(d.Reason)},
		{Key: "queue", Value: wire.String(d.Queue)},
		{Key: "time", Value: wire.Timestamp(uint64(d.Time / 1000))},
		{Key: "exchange", Value: wire.String(d.Exchange)},
		{Key: "routing-keys", Value: wire.Array(keys...)},
	}
	if d.HasTTL {
		t = append(t, wire.Field{Key: "original-expiration", Value: wire.String(strconv.FormatUint(d.TTL, 10))})
	}
	return t
}

// Headers returns the headers of a stored message as they would be delivered,
// for an exchange that asks for them.
func Headers(m *message.Message) exchange.Fields { return stored{m} }

// stored gives the headers of a stored message: they are made when asked for.
type stored struct{ m *message.Message }

// AppendFields implements exchange.Fields.
func (s stored) AppendFields(dst []message.Field) []message.Field {
	h := headers{props: properties(s.m)}
	return h.AppendFields(dst)
}

// wireValue turns a value of the hub into the one that value would turn back, or
// the nearest there is.
func wireValue(v message.Value) wire.Value {
	if n, ok := v.Int(); ok {
		return wireInteger(v.Kind(), n)
	}
	if f, ok := v.Float(); ok {
		if v.Kind() == message.Float32 {
			return wire.Float32(float32(f))
		}
		return wire.Float64(f)
	}
	switch v.Kind() {
	case message.Null:
		return wire.Void()
	case message.Bool:
		return wire.Bool(v.Bool())
	case message.Timestamp:
		return wire.Timestamp(uint64(v.Num() / 1000))
	case message.Decimal:
		b := v.Bytes()
		return wire.DecimalOf(wire.Decimal{Scale: b[0], Value: uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])})
	case message.Map:
		t, _ := v.Table()
		var out wire.Table
		for name, f := range t.All() {
			out = append(out, wire.Field{Key: name, Value: wireValue(f)})
		}
		return wire.TableOf(out)
	case message.List, message.Array:
		var items []wire.Value
		for _, it := range v.Values(nil) {
			items = append(items, wireValue(it))
		}
		return wire.Array(items...)
	case message.String, message.Symbol:
		return wire.String(string(v.Bytes()))
	default:
		return wire.Bytes(v.Bytes())
	}
}

func wireInteger(k message.Kind, n int64) wire.Value {
	switch k {
	case message.Int8:
		return wire.Int8(int8(n))
	case message.Uint8:
		return wire.Uint8(uint8(n))
	case message.Int16:
		return wire.Int16(int16(n))
	case message.Uint16:
		return wire.Uint16(uint16(n))
	case message.Int32:
		return wire.Int32(int32(n))
	case message.Uint32:
		return wire.Uint32(uint32(n))
	default:
		return wire.Int64(n)
	}
}
