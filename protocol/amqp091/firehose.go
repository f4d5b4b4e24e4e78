package amqp091

import (
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// madeHere returns the properties of a message that the broker made: it has
// headers.
func madeHere(m *message.Message) wire.Props {
	var p wire.Properties
	for name, v := range message.Table(m.Properties).All() {
		p.Headers = append(p.Headers, wire.Field{Key: name, Value: wireValue(v)})
	}
	if m.Durable {
		p.DeliveryMode = 2
	}
	return p.Append(nil)
}

// Describe names the properties of a message as RabbitMQ's firehose does; none
// if it did not come by this protocol.
func Describe(m *message.Message) message.Table {
	if m.Protocol != message.AMQP091 {
		return nil
	}
	p := properties(m)
	var t message.Table
	text := func(name string, b []byte) {
		if b != nil {
			t = message.AppendField(t, name, message.StringOf(string(b)))
		}
	}
	number := func(name string, f wire.Flags, n int64) {
		if p.Has(f) {
			t = message.AppendField(t, name, message.IntOf(message.Int32, n))
		}
	}
	text("content_type", p.ContentType())
	text("content_encoding", p.ContentEncoding())
	if p.Has(wire.HasHeaders) {
		hs, _ := wire.DecodeTable(p.Headers()) // they were checked when they came in
		t = message.AppendField(t, "headers", message.TableOf(table(hs)))
	}
	number("delivery_mode", wire.HasDeliveryMode, int64(p.DeliveryMode()))
	number("priority", wire.HasPriority, int64(p.Priority()))
	text("correlation_id", p.CorrelationID())
	text("reply_to", p.ReplyTo())
	text("expiration", p.Expiration())
	text("message_id", p.MessageID())
	if p.Has(wire.HasTimestamp) {
		t = message.AppendField(t, "timestamp", message.IntOf(message.Int64, int64(p.Timestamp())))
	}
	text("type", p.Type())
	text("user_id", p.UserID())
	text("app_id", p.AppID())
	text("cluster_id", p.ClusterID())
	return t
}
