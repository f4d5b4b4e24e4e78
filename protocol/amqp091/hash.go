package amqp091

import (
	"strconv"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

var _ exchange.Properties = (*headers)(nil)

// AppendProperty implements exchange.Properties.
func (h *headers) AppendProperty(dst []byte, name string) []byte {
	switch name {
	case "message_id":
		return append(dst, h.props.MessageID()...)
	case "correlation_id":
		return append(dst, h.props.CorrelationID()...)
	case "timestamp":
		if h.props.Has(wire.HasTimestamp) {
			return strconv.AppendUint(dst, h.props.Timestamp(), 10)
		}
	}
	return dst
}
