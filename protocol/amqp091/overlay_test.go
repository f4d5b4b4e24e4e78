package amqp091

import (
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// What the broker changed is in the properties that are delivered, and nothing
// else is.
func TestOverlaidProperties(t *testing.T) {
	p := wire.Properties{
		ContentType: "text/plain", Expiration: "50", DeliveryMode: 2,
		Headers: wire.Table{{Key: "mine", Value: wire.Int8(-1)}, {Key: "CC", Value: wire.Array(wire.String("a"))}, {Key: "x-death", Value: wire.String("forged")}},
	}
	m := message.Message{Protocol: message.AMQP091, Properties: p.Append(nil)}
	if got := properties(&m); string(got) != string(m.Properties) {
		t.Error("properties without an overlay are not the publisher's")
	}
	m.Overlay = message.AppendCopies(nil, [][]byte{[]byte("a")}, nil)
	if got := properties(&m); string(got) != string(m.Properties) {
		t.Error("properties of a message with copies are not the publisher's")
	}
	deaths := message.Deaths{}.Add(message.Death{Queue: "q", Reason: "expired", Exchange: "x", Keys: []string{"k", "a"}, Time: 5000, HasTTL: true, TTL: 50})
	deaths = deaths.Add(message.Death{Queue: "r", Reason: "rejected", Exchange: "y", Keys: []string{"k"}, Time: 6000})
	o := message.AppendOverlay(nil, message.OverlayNoTTL, nil)
	o = message.AppendOverlay(o, message.OverlayDeaths, message.AppendDeaths(nil, deaths))
	o = message.AppendOverlay(o, message.OverlayHeaders, message.AppendField(nil, "theirs", message.IntOf(message.Int64, 7)))
	m.Overlay = message.AppendCopies(o, nil, nil)
	got, err := properties(&m).Decode()
	if err != nil || got.Expiration != "" || got.ContentType != "text/plain" || got.DeliveryMode != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	entry := func(queue, reason, exchange string, at uint64, keys ...wire.Value) wire.Table {
		return wire.Table{
			{Key: "count", Value: wire.Int64(1)},
			{Key: "reason", Value: wire.String(reason)},
			{Key: "queue", Value: wire.String(queue)},
			{Key: "time", Value: wire.Timestamp(at)},
			{Key: "exchange", Value: wire.String(exchange)},
			{Key: "routing-keys", Value: wire.Array(keys...)},
		}
	}
	second := append(entry("q", "expired", "x", 5, wire.String("k"), wire.String("a")), wire.Field{Key: "original-expiration", Value: wire.String("50")})
	for key, want := range map[string]wire.Value{
		"mine": wire.Int8(-1), "theirs": wire.Int64(7),
		"x-death":             wire.Array(wire.TableOf(entry("r", "rejected", "y", 6, wire.String("k"))), wire.TableOf(second)),
		"x-first-death-queue": wire.String("q"), "x-first-death-reason": wire.String("expired"), "x-first-death-exchange": wire.String("x"),
		"x-last-death-queue": wire.String("r"), "x-last-death-reason": wire.String("rejected"), "x-last-death-exchange": wire.String("y"),
	} {
		if v, ok := got.Headers.Get(key); !ok || v != want {
			t.Errorf("header %s is %v, want %v", key, v, want)
		}
	}
	if _, ok := got.Headers.Get("CC"); ok {
		t.Error("CC is still there")
	}
}

// Every value survives the way to the hub and back.
func TestWireValueTurnsBack(t *testing.T) {
	for _, v := range []wire.Value{
		wire.Void(), wire.Bool(true), wire.Int8(-1), wire.Uint8(255), wire.Int16(-2), wire.Uint16(65535), wire.Int32(-3), wire.Uint32(1 << 31),
		wire.Int64(-4), wire.Float32(1.5), wire.Float64(2.5), wire.DecimalOf(wire.Decimal{Scale: 2, Value: 77}), wire.String("s"), wire.Bytes([]byte{0, 1}),
		wire.Timestamp(9), wire.TableOf(wire.Table{{Key: "a", Value: wire.Array(wire.Int8(1), wire.String("b"))}}),
	} {
		if got := wireValue(value(v)); got != v {
			t.Errorf("%v comes back as %v", v, got)
		}
	}
}
