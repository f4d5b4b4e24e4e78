package amqp091

import (
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// What is said of a message's properties reaches who reads the firehose as the
// table that RabbitMQ has there.
func TestDescribe(t *testing.T) {
	p := wire.Properties{
		ContentType: "text/plain", Headers: wire.Table{{Key: "h", Value: wire.Int16(-3)}, {Key: "l", Value: wire.Array(wire.Bool(true))}},
		DeliveryMode: 2, Priority: 9, Timestamp: 1700000000, UserID: "u", Expiration: "5",
	}
	m := message.Message{Protocol: message.AMQP091, Properties: p.Append(nil)}
	headers := message.AppendField(nil, "properties", message.TableOf(Describe(&m)))
	copied := message.Message{Protocol: message.Internal, Properties: headers}
	props := properties(&copied)
	if err := props.Validate(); err != nil {
		t.Fatal(err)
	}
	got, err := props.Decode()
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Properties{Headers: wire.Table{{Key: "properties", Value: wire.TableOf(wire.Table{
		{Key: "content_type", Value: wire.String("text/plain")},
		{Key: "headers", Value: wire.TableOf(p.Headers)},
		{Key: "delivery_mode", Value: wire.Int32(2)},
		{Key: "priority", Value: wire.Int32(9)},
		{Key: "expiration", Value: wire.String("5")},
		{Key: "timestamp", Value: wire.Int64(1700000000)},
		{Key: "user_id", Value: wire.String("u")},
	})}}}
	if string(got.Append(nil)) != string(want.Append(nil)) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if other := Describe(&message.Message{Protocol: message.MQTT}); other != nil {
		t.Errorf("another protocol's: %v", other)
	}
}
