package amqp091

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// withReplyTo returns properties with the address for replies in them. They
// are valid until the flush.
func (p *publishes) withReplyTo(props wire.Props, address string) wire.Props {
	at := len(p.rewritten)
	p.rewritten = props.AppendReplyTo(p.rewritten, address)
	return wire.Props(p.rewritten[at:len(p.rewritten):len(p.rewritten)])
}

// inspect takes from a message's properties what the broker acts on. It finds
// fault in RabbitMQ's order: with the exchange, then with the expiration, the
// user, the headers.
func (ch *channel) inspect(pub *broker.Publication) error {
	err := ch.properties(pub)
	if err == nil {
		return nil
	}
	if x := ch.publisher.Check(pub.Message); x != nil {
		return brokerError(x, wire.IDBasicPublish)
	}
	return err
}

func (ch *channel) properties(pub *broker.Publication) error {
	m := pub.Message
	props := wire.Props(m.Properties)
	if string(props.ReplyTo()) == broker.ReplyQueue {
		if ch.replies == nil {
			return errorf(wire.CodePreconditionFailed, wire.IDBasicPublish, "fast reply consumer does not exist")
		}
		props = ch.c.pubs.withReplyTo(props, ch.replies.reply.Name())
		m.Properties = props
	}
	if e := props.Expiration(); e != nil {
		ttl, err := expiration(e)
		if err != nil {
			return err
		}
		pub.TTL, pub.HasTTL = ttl, true
		m.TTL, m.HasTTL = uint64(ttl), true
	}
	if u := props.UserID(); u != nil && string(u) != ch.c.session.User() && !ch.c.session.MayImpersonate() {
		return errorf(wire.CodePreconditionFailed, wire.IDBasicPublish,
			"user_id property set to '%s' but authenticated user was '%s'", u, ch.c.session.User())
	}
	if !props.Has(wire.HasHeaders) {
		return nil
	}
	keys, blind, shown, err := copies(props)
	pub.Keys, m.Properties = keys, shown
	if len(keys) > 0 {
		m.Overlay = message.AppendCopies(nil, keys[:len(keys)-blind], keys[len(keys)-blind:])
	}
	return err
}

// expiration reads the property: milliseconds in decimal digits.
func expiration(b []byte) (uint32, error) {
	bad := func(why string) error {
		return &wire.Error{
			Code: wire.CodePreconditionFailed, Method: wire.IDBasicPublish,
			Text: fmt.Sprintf("invalid expiration '%s': %s", b, why),
		}
	}
	digits := 0
	for digits < len(b) && (b[digits] >= '0' && b[digits] <= '9' || digits == 0 && (b[0] == '-' || b[0] == '+')) {
		digits++
	}
	n, err := strconv.ParseInt(string(b[:digits]), 10, 64)
	tooLarge := errors.Is(err, strconv.ErrRange) && b[0] != '-'
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, bad("no_integer")
	case digits < len(b):
		return 0, bad(fmt.Sprintf("{leftover_string,%q}", b[digits:]))
	case tooLarge || n > maxTTL:
		return 0, bad("{value_too_large," + string(b) + "}")
	case n < 0:
		return 0, bad("{value_negative," + string(b) + "}")
	}
	return uint32(n), nil
}

// maxTTL is the longest expiry in milliseconds, as in RabbitMQ.
const maxTTL = 1<<32 - 1
