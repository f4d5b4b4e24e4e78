package broker

import (
	"fmt"
	"slices"

	"github.com/warrenmq/warren/core/message"
)

// ignoredFault checks the arguments that do nothing, because they tune what
// RabbitMQ does with a queue's messages where we have one way for all, and those
// that say where a queue is.
// What no RabbitMQ would take is refused all the same. It returns the argument
// and what is wrong with it, or "".
func ignoredFault(args message.Table) (arg, fault string) {
	for _, a := range []struct {
		name  string
		check func(message.Value) string
	}{
		{"x-queue-mode", wordOf("invalid_queue_mode", "default", "lazy")},
		{"x-queue-version", numberFrom(1, 2)},
		{"x-max-in-memory-length", numberFrom(0, -1)},
		{"x-max-in-memory-bytes", numberFrom(0, -1)},
		{"x-queue-leader-locator", wordOf("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders")},
		{"x-queue-master-locator", wordOf("invalid_queue_locator_arg", "client-local", "random", "min-masters")},
		{"x-replicas", replicasFault},
		{"x-quorum-initial-group-size", numberFrom(1, -1)},
		{"x-initial-cluster-size", numberFrom(1, -1)},
	} {
		if v, ok := args.Lookup(a.name); ok {
			if fault := a.check(v); fault != "" {
				return a.name, fault
			}
		}
	}
	return "", ""
}

func replicasFault(v message.Value) string {
	if replicas(v) {
		return ""
	}
	return "invalid_replicas"
}

func wordOf(fault string, words ...string) func(message.Value) string {
	return func(v message.Value) string {
		t, ok := v.Text()
		switch {
		case !ok:
			return fmt.Sprintf("{unacceptable_type,%s}", typeName(v))
		case !slices.Contains(words, t):
			return fault
		}
		return ""
	}
}

// numberFrom takes numbers from least to most; a most below least is no bound.
func numberFrom(least, most int64) func(message.Value) string {
	return func(v message.Value) string {
		n, ok := v.Int()
		switch {
		case !ok:
			return fmt.Sprintf("%q", "expected integer, got "+typeName(v))
		case n == 0 && least > 0:
			return "{value_zero,0}"
		case n < least:
			return fmt.Sprintf("{value_negative,%d}", n)
		case most >= least && n > most:
			return fmt.Sprintf("{max_value_exceeded,%d}", n)
		}
		return ""
	}
}
