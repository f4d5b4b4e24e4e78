package broker

import (
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// What holds for a queue comes from its arguments, its policy and its operator
// policy. Settings are named as arguments are, with "x-"; policies leave that
// out.

// A rule says which of two values counts.
type rule uint8

const (
	// argumentFirst: the argument; and of policies the operator's.
	argumentFirst rule = iota
	// lowest: the lower number.
	lowest
	// lowestOrNone: the lower number, but a negative one means no limit and wins.
	lowestOrNone
)

func ruleOf(name string) rule {
	switch name {
	case "x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-in-memory-length",
		"x-max-in-memory-bytes", "x-consumer-timeout", "x-max-age":
		return lowest
	case "x-delivery-limit":
		return lowestOrNone
	}
	return argumentFirst
}

// setting returns the value that holds for a queue under the name of an
// argument: its argument, policy and operator policy, merged as RabbitMQ merges
// them.
func setting(q *catalog.Queue, name string) (message.Value, bool) {
	arg, hasArg := q.Args.Lookup(name)
	user, hasUser := ofPolicy(q.Policy, name)
	operator, hasOperator := ofPolicy(q.OperatorPolicy, name)
	r := ruleOf(name)
	switch {
	case hasUser && hasOperator:
		user = r.merge(operator, user)
	case hasOperator:
		user, hasUser = operator, true
	}
	switch {
	case hasArg && hasUser:
		return r.merge(arg, user), true
	case hasArg:
		return arg, true
	}
	return user, hasUser
}

// merge returns the value that counts; first is the one with precedence.
func (r rule) merge(first, second message.Value) message.Value {
	a, aok := first.Int()
	b, bok := second.Int()
	if r == argumentFirst || !aok || !bok {
		return first
	}
	if r == lowestOrNone && (a < 0 || b < 0) {
		a, b = b, a // the greater
	}
	if a <= b {
		return first
	}
	return second
}

// ofPolicy returns what a policy, which may be nil, says to an argument.
func ofPolicy(p *catalog.Policy, name string) (message.Value, bool) {
	if p == nil {
		return message.Value{}, false
	}
	return p.Definition.Lookup(name[len("x-"):])
}

// intSetting is setting for a number.
func intSetting(q *catalog.Queue, name string) (int64, bool) {
	v, ok := setting(q, name)
	if !ok {
		return 0, false
	}
	return v.Int()
}

// textSetting is setting for a text.
func textSetting(q *catalog.Queue, name string) (string, bool) {
	v, ok := setting(q, name)
	if !ok {
		return "", false
	}
	return v.Text()
}
