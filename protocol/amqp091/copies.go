package amqp091

import (
	"slices"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Headers that name more routing keys: those of the second are not shown to
// who receives the message.
const (
	copyHeader      = "CC"
	blindCopyHeader = "BCC"
)

// maxCopies bounds the routing keys that one message may name: each is a walk
// through the bindings.
const maxCopies = 1000

// copies returns the routing keys that the headers CC and BCC name, and the
// properties as they are delivered.
func copies(props wire.Props) (keys [][]byte, shown wire.Props, err error) {
	blind := false
	for k, v := range wire.Fields(props.Headers()) {
		if k != copyHeader && k != blindCopyHeader {
			continue
		}
		blind = blind || k == blindCopyHeader
		items, ok := v.Array()
		if !ok {
			return nil, nil, errorf(wire.CodePreconditionFailed, wire.IDBasicPublish,
				"invalid message: {unacceptable_type_in_header,%q,%s}", k, broker.TypeName(value(v)))
		}
		for _, it := range items {
			// A routing key is a short string: no binding has a longer one.
			if key, ok := it.Text(); ok && len(key) <= 255 {
				keys = append(keys, []byte(key))
			}
		}
		if len(keys) > maxCopies {
			return nil, nil, errorf(wire.CodePreconditionFailed, wire.IDBasicPublish,
				"invalid message: {too_many_routing_keys,%q,%d}", k, len(keys))
		}
	}
	if !blind {
		return keys, props, nil
	}
	p, err := props.Decode()
	if err != nil {
		return nil, nil, err
	}
	p.Headers = slices.DeleteFunc(p.Headers, func(f wire.Field) bool { return f.Key == blindCopyHeader })
	return keys, p.Append(nil), nil
}
