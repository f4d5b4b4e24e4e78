package amqp091

import (
	"testing"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func TestProperties(t *testing.T) {
	full := wire.Properties{CorrelationID: "c", MessageID: "m", Timestamp: 7}
	for _, x := range []struct {
		props wire.Props
		want  map[string]string
	}{
		{wire.Props(full.Append(nil)), map[string]string{"message_id": "m", "correlation_id": "c", "timestamp": "7", "user_id": ""}},
		{wire.Props((&wire.Properties{}).Append(nil)), map[string]string{"message_id": "", "correlation_id": "", "timestamp": ""}},
	} {
		h := headers{x.props}
		for name, want := range x.want {
			if got := string(h.AppendProperty(nil, name)); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
}

// TestHeadersAllocateNothing: a headers exchange looks at a message's headers
// where they are.
func TestHeadersAllocateNothing(t *testing.T) {
	props := wire.Properties{Headers: wire.Table{
		{Key: "kind", Value: wire.String("order")}, {Key: "n", Value: wire.Int64(5)}, {Key: "ok", Value: wire.Bool(true)},
	}}
	h := headers{wire.Props(props.Append(nil))}
	args := message.AppendField(nil, "kind", message.StringOf("order"))
	args = message.AppendField(args, "n", message.IntOf(message.Int8, 5))
	table, _ := exchange.New(exchange.Headers, nil).Bind(exchange.Binding{Dest: exchange.ToQueue(1), Args: args})
	var r exchange.Router
	var dst []exchange.Dest
	if n := testing.AllocsPerRun(100, func() { dst = table.Route(&r, nil, &h, dst[:0]) }); n != 0 || len(dst) != 1 {
		t.Errorf("%v allocations, %v", n, dst)
	}
}
