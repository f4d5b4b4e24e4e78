package amqp091

import (
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Headers of what a quorum queue delivers again: how often a consumer could
// not do it, and how often anybody had it.
const (
	deliveryCountHeader = "x-delivery-count"
	acquiredCountHeader = "x-acquired-count"
)

// counted returns the properties of a delivery from a quorum queue: a message
// that was delivered before says how often.
func counted(props wire.Props, d *broker.Delivery) wire.Props {
	if d.Acquired == 0 && d.Failed == 0 {
		return props
	}
	p, err := props.Decode()
	if err != nil {
		return props // checked when it came in
	}
	p.Headers = p.Headers.With(acquiredCountHeader, wire.Int64(int64(max(d.Acquired, d.Failed))))
	if d.Failed > 0 {
		p.Headers = p.Headers.With(deliveryCountHeader, wire.Int64(int64(d.Failed)))
	}
	return p.Append(nil)
}
