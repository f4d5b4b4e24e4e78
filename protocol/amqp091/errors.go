package amqp091

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// softError returns the error if closing the channel is enough.
func softError(err error) *wire.Error {
	if err == nil {
		return nil
	}
	var we *wire.Error
	if errors.As(err, &we) && !we.Code.Hard() {
		return we
	}
	return nil
}

// code is the one table from kinds of broker errors to reply codes.
func code(k broker.Kind) wire.ReplyCode {
	switch k {
	case broker.NotFound:
		return wire.CodeNotFound
	case broker.Mismatch, broker.Invalid, broker.InUse, broker.NotEmpty, broker.TooLarge, broker.OverLimit, broker.Partial:
		return wire.CodePreconditionFailed
	case broker.Denied, broker.ExclusiveUse, broker.Reserved:
		return wire.CodeAccessRefused
	case broker.Locked:
		return wire.CodeResourceLocked
	default:
		return wire.CodeInternalError
	}
}

// brokerError words what a broker operation failed with as RabbitMQ does:
// clients match the texts.
func brokerError(err error, id wire.ID) error {
	var e *broker.Error
	if !errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	return &wire.Error{Code: code(e.Kind), Text: text(e), Method: id}
}

// hardError is brokerError for an error that closes the connection whatever it
// is.
func hardError(err error, id wire.ID) *wire.Error {
	var e *broker.Error
	if errors.As(err, &e) {
		return &wire.Error{Code: wire.CodeInternalError, Text: text(e), Method: id}
	}
	return &wire.Error{Code: wire.CodeInternalError, Text: err.Error(), Method: id}
}

func text(e *broker.Error) string {
	rs := fmt.Sprintf("%s '%s' in vhost '%s'", e.Resource, e.Name, e.VHost)
	switch e.Kind {
	case broker.NotFound:
		return "no " + rs
	case broker.Mismatch:
		return mismatch(e, rs)
	case broker.Invalid:
		switch {
		case e.Arg == "x-match" && e.ReceivedType != "longstr":
			return fmt.Sprintf("Invalid x-match field type %s (value %s); expected longstr", e.ReceivedType, e.Received)
		case e.Arg == "x-match":
			return fmt.Sprintf("Invalid x-match field value <<%q>>; expected all, any, all-with-x, or any-with-x", e.Received)
		case e.Property:
			return fmt.Sprintf("invalid property '%s' for %s", e.Arg, rs)
		case e.QueueType != "":
			return fmt.Sprintf("invalid arg '%s' for %s of queue type rabbit_%s_queue", e.Arg, rs, e.QueueType)
		case e.Arg != "":
			return fmt.Sprintf("invalid arg '%s' for %s: %s", e.Arg, rs, e.Detail)
		}
		return e.Detail
	case broker.Denied:
		if e.OnTopic {
			return fmt.Sprintf("%s access to topic '%s' in %s refused for user '%s'", e.Op, e.Topic, rs, e.User)
		}
		return fmt.Sprintf("%s access to %s refused for user '%s'", e.Op, rs, e.User)
	case broker.Locked:
		if e.Detail != "" {
			return fmt.Sprintf("cannot obtain access to locked %s. %s", rs, e.Detail)
		}
		return fmt.Sprintf("cannot obtain exclusive access to locked %s. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.", rs)
	case broker.ExclusiveUse:
		return rs + " in exclusive use"
	case broker.InUse:
		return rs + " in use"
	case broker.NotEmpty:
		return rs + " not empty"
	case broker.Reserved, broker.TooLarge, broker.OverLimit, broker.Partial:
		return e.Detail
	default:
		return e.Error()
	}
}

func mismatch(e *broker.Error, rs string) string {
	switch {
	case e.HasReceived && e.HasCurrent:
		return fmt.Sprintf("inequivalent arg '%s' for %s: received '%s' but current is '%s'", e.Arg, rs, e.Received, e.Current)
	case e.HasReceived:
		return fmt.Sprintf("inequivalent arg '%s' for %s: received the value '%s' of type '%s' but current is none", e.Arg, rs, e.Received, e.ReceivedType)
	default:
		return fmt.Sprintf("inequivalent arg '%s' for %s: received none but current is the value '%s' of type '%s'", e.Arg, rs, e.Current, e.CurrentType)
	}
}
