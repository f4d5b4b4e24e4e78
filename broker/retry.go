package broker

import (
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
)

// Arguments of queues whose messages rest when they come back.
const (
	argRetryType = "x-delayed-retry-type"
	argRetryMin  = "x-delayed-retry-min"
	argRetryMax  = "x-delayed-retry-max"
)

// retryWhen reads a type; ok is false if there is none such.
func retryWhen(t string) (w queue.RetryWhen, ok bool) {
	switch t {
	case "disabled":
		return 0, true
	case "all":
		return queue.RetryFailed | queue.RetryReturned, true
	case "failed":
		return queue.RetryFailed, true
	case "returned":
		return queue.RetryReturned, true
	}
	return 0, false
}

// retryOf returns how messages of a queue rest. Without a least time they do not.
func retryOf(q *catalog.Queue) (r queue.Retry) {
	t, _ := textSetting(q, argRetryType)
	least, hasMin := intSetting(q, argRetryMin)
	when, ok := retryWhen(t)
	if !ok || when == 0 || !hasMin {
		return r
	}
	r.When, r.Min = when, uint32(least)
	if most, ok := intSetting(q, argRetryMax); ok {
		r.Max = uint32(most)
	}
	return r
}

// checkRetry checks the arguments of a queue that is to be made.
func checkRetry(args message.Table, bad func(arg, format string, a ...any) error) error {
	v, ok := args.Lookup(argRetryType)
	if !ok {
		return nil
	}
	t, isText := v.Text()
	if !isText {
		return bad(argRetryType, "{unacceptable_type,%s}", typeName(v))
	}
	when, known := retryWhen(t)
	if !known {
		return bad(argRetryType, "invalid_delayed_retry_type")
	}
	if _, ok := args.Lookup(argRetryMin); when != 0 && !ok {
		return bad(argRetryType, "needs %s", argRetryMin)
	}
	return nil
}
