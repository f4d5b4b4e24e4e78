package broker

import (
	"fmt"
	"strconv"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Settings returns what a queue's arguments and policies mean to its shard. Both
// were checked when they were set.
func Settings(q *catalog.Queue) shard.Settings {
	var s shard.Settings
	if q.Kind == catalog.Schedule {
		s.Schedule, s.Letters = true, shard.AtLeastOnce
		return s
	}
	s.AutoDelete = q.AutoDelete
	s.Retry = retryOf(q)
	if n, ok := intSetting(q, "x-message-ttl"); ok {
		s.TTL, s.HasTTL = uint32(n), true
	}
	if n, ok := intSetting(q, "x-expires"); ok {
		s.Expires = uint32(n)
	}
	if n, ok := intSetting(q, "x-max-length"); ok {
		s.MaxLength = queue.AtMost(uint64(n))
	}
	if n, ok := intSetting(q, "x-max-length-bytes"); ok {
		s.MaxBytes = queue.AtMost(uint64(n))
	}
	if n, ok := intArg(q.Args, "x-max-priority"); ok {
		s.MaxPriority = uint8(n)
	}
	if n, ok := intSetting(q, "x-delivery-limit"); ok && n >= 0 {
		s.DeliveryLimit = queue.AtMost(uint64(n))
	} else if !ok && q.Kind == catalog.Quorum {
		s.DeliveryLimit = queue.AtMost(quorumDeliveryLimit)
	}
	if t, ok := textSetting(q, "x-overflow"); ok {
		s.Overflow, _ = overflow(t)
	}
	s.Letters = LettersOf(q).Rule
	if v, ok := q.Args.Lookup("x-single-active-consumer"); ok {
		s.SingleActive = v.Kind() == message.Bool && v.Bool()
	}
	return s
}

// quorumDeliveryLimit is how often a message of a queue declared as a quorum
// queue may fail, unless the queue says otherwise.
const quorumDeliveryLimit = 20

func intArg(t message.Table, name string) (int64, bool) {
	v, ok := t.Lookup(name)
	if !ok {
		return 0, false
	}
	return v.Int()
}

// kindOf returns the kind of queue that the arguments ask for.
func kindOf(t message.Table) catalog.QueueKind {
	if v, ok := t.Lookup("x-queue-type"); ok {
		if text, _ := v.Text(); text == "quorum" {
			return catalog.Quorum
		}
	}
	return catalog.Classic
}

// intArgs bound the integer arguments of queues.
func intArgs() []intBounds {
	return []intBounds{
		{"x-message-ttl", 0, 1<<32 - 1},
		{"x-expires", 1, 1<<32 - 1},
		{argRetryMin, 1, 1<<32 - 1},
		{argRetryMax, 1, 1<<32 - 1},
		{"x-consumer-timeout", 0, 1<<32 - 1},
		{"x-max-length", 0, 1<<63 - 1},
		{"x-max-length-bytes", 0, 1<<63 - 1},
		{"x-max-priority", 0, 255},
		{"x-delivery-limit", -1, 1<<32 - 1},
	}
}

type intBounds struct {
	name        string
	least, most int64
}

// checkQueueArgs checks the arguments of a queue that is to be made.
func checkQueueArgs(vhost string, spec *catalog.QueueSpec) error {
	bad := func(arg, format string, a ...any) error {
		return &Error{Kind: Invalid, Resource: QueueResource, Name: spec.Name, VHost: vhost, Arg: arg, Detail: fmt.Sprintf(format, a...)}
	}
	for _, a := range intArgs() {
		v, ok := spec.Args.Lookup(a.name)
		if !ok {
			continue
		}
		n, isInt := v.Int()
		switch {
		case !isInt:
			return bad(a.name, "%q", "expected integer, got "+typeName(v))
		case n < a.least && n == 0:
			return bad(a.name, "{value_zero,0}")
		case n < a.least:
			return bad(a.name, "{value_negative,%d}", n)
		case n > a.most && a.name == "x-max-priority":
			return bad(a.name, "{max_value_exceeded,%d}", n)
		case n > a.most:
			return bad(a.name, "{value_too_large,%d}", n)
		}
	}
	if v, ok := spec.Args.Lookup("x-overflow"); ok {
		t, isText := v.Text()
		if !isText {
			return bad("x-overflow", "{unacceptable_type,%s}", typeName(v))
		}
		if _, ok := overflow(t); !ok {
			return bad("x-overflow", "invalid_overflow")
		}
	}
	if name, fault := letterFault(spec.Args); fault != "" {
		return bad(name, "%s", fault)
	}
	if name, fault := ignoredFault(spec.Args); fault != "" {
		return bad(name, "%s", fault)
	}
	if v, ok := spec.Args.Lookup("x-single-active-consumer"); ok && v.Kind() != message.Bool {
		return bad("x-single-active-consumer", "{unacceptable_type,%s}", typeName(v))
	}
	if err := checkRetry(spec.Args, bad); err != nil {
		return err
	}
	if v, ok := spec.Args.Lookup("x-queue-type"); ok {
		if err := checkQueueType(vhost, v, spec, bad); err != nil {
			return err
		}
	}
	return nil
}

func checkQueueType(vhost string, v message.Value, spec *catalog.QueueSpec, bad func(string, string, ...any) error) error {
	property := func(name string) error {
		return &Error{Kind: Invalid, Resource: QueueResource, Name: spec.Name, VHost: vhost, Arg: name, Property: true}
	}
	t, isText := v.Text()
	if !isText {
		return bad("x-queue-type", "%q", "expected longstr, got "+typeName(v))
	}
	switch t {
	case "classic":
		return nil
	case "quorum":
		switch {
		case spec.AutoDelete:
			return property("auto-delete")
		case spec.Exclusive:
			return property("exclusive-owner")
		case !spec.Durable:
			return property("non-durable")
		}
		for _, name := range []string{"x-max-priority", "x-queue-mode"} {
			if _, ok := spec.Args.Lookup(name); ok {
				return &Error{Kind: Invalid, Resource: QueueResource, Name: spec.Name, VHost: vhost, Arg: name, QueueType: t}
			}
		}
		return nil
	case "stream":
		return bad("x-queue-type", "stream queues come in a later release of Warren")
	default:
		return bad("x-queue-type", "%q", "unsupported queue type '"+t+"'")
	}
}

// mismatch takes over how a redeclaration differs.
func (e *Error) mismatch(m *catalog.Mismatch) {
	e.Arg, e.HasReceived, e.HasCurrent = m.Arg, m.HasReceived, m.HasCurrent
	e.Received, e.Current = printed(m.Received), printed(m.Current)
	e.ReceivedType, e.CurrentType = typeName(m.Received), typeName(m.Current)
}

// printed returns a value as RabbitMQ prints it.
func printed(v message.Value) string {
	switch v.Kind() {
	case message.Bool:
		return strconv.FormatBool(v.Bool())
	case message.Null:
		return "undefined"
	}
	if n, ok := v.Int(); ok {
		return strconv.FormatInt(n, 10)
	}
	if t, ok := v.Text(); ok {
		return t
	}
	if f, ok := v.Float(); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return typeName(v)
}

// TypeName returns the name RabbitMQ has for the type of a value.
func TypeName(v message.Value) string { return typeName(v) }

// typeName returns the name RabbitMQ has for a value's type.
func typeName(v message.Value) string {
	switch v.Kind() {
	case message.Bool:
		return "bool"
	case message.Int8:
		return "byte"
	case message.Uint8:
		return "unsignedbyte"
	case message.Int16:
		return "short"
	case message.Uint16:
		return "unsignedshort"
	case message.Int32:
		return "signedint"
	case message.Uint32:
		return "unsignedint"
	case message.Int64:
		return "long"
	case message.Float32:
		return "float"
	case message.Float64:
		return "double"
	case message.Decimal:
		return "decimal"
	case message.Timestamp:
		return "timestamp"
	case message.Binary:
		return "binary"
	case message.List, message.Array:
		return "array"
	case message.Map:
		return "table"
	case message.Null:
		return "void"
	default:
		return "longstr"
	}
}
