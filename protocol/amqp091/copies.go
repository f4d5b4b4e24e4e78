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

// copies returns the routing keys that the headers CC and BCC name, those of BCC
// last, how many these are, and the properties as they are delivered.
func copies(props wire.Props) (keys [][]byte, hidden int, shown wire.Props, err error) {
	blind := false
	var blindKeys [][]byte
	for k, v := range wire.Fields(props.Headers()) {
		if k != copyHeader && k != blindCopyHeader {
			continue
		}
		list := &keys
		if k == blindCopyHeader {
			blind, list = true, &blindKeys
		}
		items, ok := v.Array()
		if !ok {
			return nil, 0, nil, errorf(wire.CodePreconditionFailed, wire.IDBasicPublish,
				"invalid message: {unacceptable_type_in_header,%q,%s}", k, broker.TypeName(value(v)))
		}
		for _, it := range items {
			// A routing key is a short string: no binding has a longer one.
			if key, ok := it.Text(); ok && len(key) <= 255 {
				*list = append(*list, []byte(key))
			}
		}
		if len(keys)+len(blindKeys) > maxCopies {
			return nil, 0, nil, errorf(wire.CodePreconditionFailed, wire.IDBasicPublish,
				"invalid message: {too_many_routing_keys,%q,%d}", k, len(keys)+len(blindKeys))
		}
	}
	if !blind {
		return keys, 0, props, nil
	}
	p, err := props.Decode()
	if err != nil {
		return nil, 0, nil, err
	}
	p.Headers = slices.DeleteFunc(p.Headers, func(f wire.Field) bool { return f.Key == blindCopyHeader })
	return append(keys, blindKeys...), len(blindKeys), p.Append(nil), nil
}
