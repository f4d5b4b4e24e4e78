package catalog

import "github.com/warrenmq/warren/core/message"

// A Mismatch says how a redeclaration differs. For an argument that one side
// lacks, that side's value is Null and its Has is false.
type Mismatch struct {
	Arg                     string // durable, auto_delete, internal, type, or an argument's name
	Received, Current       message.Value
	HasReceived, HasCurrent bool
}

const queueTypeArg = "x-queue-type"

// queueArgs are the arguments that are compared on redeclaration. Any others
// are ignored.
func queueArgs() []string {
	return []string{
		"x-expires", "x-message-ttl", "x-dead-letter-exchange", "x-dead-letter-routing-key",
		"x-dead-letter-strategy", "x-max-length", "x-max-length-bytes", "x-overflow",
		"x-max-priority", "x-queue-mode", queueTypeArg, "x-single-active-consumer",
		"x-delivery-limit", "x-quorum-initial-group-size", "x-initial-cluster-size",
		"x-queue-leader-locator", "x-max-age", "x-stream-max-segment-size-bytes",
		"x-stream-filter-size-bytes",
		"x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max",
	}
}

// MayUse reports whether a session may use the queue at all.
func (q *Queue) MayUse(s Session) bool { return !q.Exclusive || q.Owner == s }

// EquivalentQueue compares a redeclaration with the queue that exists, and
// returns the first difference or nil. Unless strict, another x-queue-type is
// none: whoever asks for a quorum queue gets what one is, and more. Whether the
// session may use it is another question: MayUse.
func EquivalentQueue(existing *Queue, wanted *QueueSpec, strict bool) *Mismatch {
	// An exclusive queue's durability means nothing.
	if m := sameFlag("durable", wanted.Durable && !wanted.Exclusive, existing.Durable && !existing.Exclusive); m != nil {
		return m
	}
	if m := sameFlag("auto_delete", wanted.AutoDelete, existing.AutoDelete); m != nil {
		return m
	}
	for _, arg := range queueArgs() {
		if arg == queueTypeArg && !strict {
			continue
		}
		if m := sameArg(arg, wanted.Args, existing.Args); m != nil && !m.defaultType() {
			return m
		}
	}
	return nil
}

// EquivalentExchange compares a redeclaration with the exchange that exists,
// and returns the first difference or nil.
func EquivalentExchange(existing *Exchange, wanted *ExchangeSpec) *Mismatch {
	if existing.TypeName() != wanted.TypeName() {
		return &Mismatch{
			Arg:      "type",
			Received: message.StringOf(wanted.TypeName()), HasReceived: true,
			Current: message.StringOf(existing.TypeName()), HasCurrent: true,
		}
	}
	if existing.Type != wanted.Type {
		return sameArg(DelayedTypeArg, wanted.Args, existing.Args)
	}
	if m := sameFlag("durable", wanted.Durable, existing.Durable); m != nil {
		return m
	}
	if m := sameFlag("auto_delete", wanted.AutoDelete, existing.AutoDelete); m != nil {
		return m
	}
	if m := sameFlag("internal", wanted.Internal, existing.Internal); m != nil {
		return m
	}
	return sameArg(alternateArg, wanted.Args, existing.Args)
}

// defaultType reports whether the difference is only that one side leaves out
// the queue type that is the default.
func (m *Mismatch) defaultType() bool {
	if m.Arg != queueTypeArg || m.HasReceived && m.HasCurrent {
		return false
	}
	named := m.Received
	if m.HasCurrent {
		named = m.Current
	}
	text, _ := named.Text()
	return text == "classic"
}

func sameFlag(arg string, received, current bool) *Mismatch {
	if received == current {
		return nil
	}
	return &Mismatch{
		Arg:      arg,
		Received: message.BoolOf(received), HasReceived: true,
		Current: message.BoolOf(current), HasCurrent: true,
	}
}

func sameArg(arg string, received, current message.Table) *Mismatch {
	r, hasR := received.Lookup(arg)
	c, hasC := current.Lookup(arg)
	if hasR == hasC && (!hasR || r.Equal(c)) {
		return nil
	}
	return &Mismatch{Arg: arg, Received: r, HasReceived: hasR, Current: c, HasCurrent: hasC}
}
