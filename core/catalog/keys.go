package catalog

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/exchange"
)

// The spaces of a stored catalog, in the order in which they are loaded: what
// an object needs stands before it. The numbers are written to disk.
const (
	spaceMeta byte = iota + 1
	spaceNode
	spaceIncarnation
	spaceShard
	spaceVHost
	spaceUser
	spacePermission
	spaceTopicPermission
	spacePolicy
	spaceParameter
	spaceExchange
	spaceQueue
	spaceBinding
	spaceForgotten
	spaceIntent
)

// idKey joins numbers so that keys are ordered as they are.
func idKey(ids ...uint64) string {
	var buf [24]byte
	key := buf[:0]
	for _, id := range ids {
		key = binary.BigEndian.AppendUint64(key, id)
	}
	return string(key)
}

// appendText appends a text so that no other follows ambiguously.
func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendPermissionKey(dst []byte, user string, vhost uint64) []byte {
	return binary.BigEndian.AppendUint64(appendText(dst, user), vhost)
}

func policyKey(vhost uint64, operator bool, name string) string {
	key := binary.BigEndian.AppendUint64(nil, vhost)
	if operator {
		key = append(key, 1)
	} else {
		key = append(key, 0)
	}
	return string(append(key, name...))
}

func parameterKey(vhost uint64, component, name string) string {
	key := binary.BigEndian.AppendUint64(nil, vhost)
	return string(append(appendText(key, component), name...))
}

// An objectKey is the key under which an object is stored, in a form that can
// be compared and made without a copy: its id, if the space has ids, then rest.
type objectKey struct {
	space byte
	id    uint64
	rest  string
}

func byID(space byte, id uint64) objectKey { return objectKey{space: space, id: id} }

func byName(space byte, key string) objectKey { return objectKey{space: space, rest: key} }

func ofBinding(source uint64, b exchange.Binding) objectKey {
	return objectKey{space: spaceBinding, id: source, rest: string(exchange.AppendBinding(nil, b))}
}

func (k objectKey) bytes() []byte {
	out := []byte{k.space}
	if k.id != 0 {
		out = binary.BigEndian.AppendUint64(out, k.id)
	}
	return append(out, k.rest...)
}
