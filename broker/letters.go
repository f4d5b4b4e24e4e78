package broker

import (
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// The arguments that say where dead messages go.
const (
	letterExchange = "x-dead-letter-exchange"
	letterKey      = "x-dead-letter-routing-key"
	letterStrategy = "x-dead-letter-strategy"
)

// Letters say where the dead messages of a queue go.
type Letters struct {
	Exchange string
	Key      string // in place of the message's own, if HasKey
	HasKey   bool
	Rule     shard.LetterRule
}

// LettersOf returns where the dead messages of a queue go: nowhere, if its rule
// is NoLetters.
func LettersOf(q *catalog.Queue) (l Letters) {
	var ok bool
	if l.Exchange, ok = textSetting(q, letterExchange); !ok {
		return Letters{}
	}
	l.Key, l.HasKey = textSetting(q, letterKey)
	l.Rule = shard.AtLeastOnce
	if s, _ := textSetting(q, letterStrategy); s == "at-most-once" {
		l.Rule = shard.AtMostOnce
	}
	return l
}

// overflow returns what a full queue does, by RabbitMQ's word.
func overflow(word string) (queue.Overflow, bool) {
	switch word {
	case "drop-head":
		return queue.DropHead, true
	case "reject-publish":
		return queue.RejectPublish, true
	case "reject-publish-dlx":
		return queue.PostPublish, true
	}
	return queue.DropHead, false
}

// checkLetters checks the arguments of a queue that is to be made, and whether
// its maker may have messages of the queue go to the exchange.
func (s *Session) checkLetters(spec *catalog.QueueSpec) error {
	v, ok := spec.Args.Lookup(letterExchange)
	if !ok {
		return nil
	}
	x, isText := v.Text()
	if !isText {
		return &Error{
			Kind: Invalid, Resource: QueueResource, Name: spec.Name, VHost: s.vhost,
			Detail: "invalid type '" + typeName(v) + "' for arg '" + letterExchange + "' in queue '" + spec.Name + "' in vhost '" + s.vhost + "'",
		}
	}
	if err := s.check(opRead, QueueResource, spec.Name); err != nil {
		return err
	}
	return s.check(opWrite, ExchangeResource, x)
}

// maxKey is how long a routing key may be: no client can be told a longer one.
const maxKey = 255

// letterFault returns what is wrong with an argument, or nothing.
func letterFault(args message.Table) (name, fault string) {
	for _, name := range [...]string{letterKey, letterStrategy} {
		v, ok := args.Lookup(name)
		if !ok {
			continue
		}
		text, isText := v.Text()
		_, hasExchange := args.Lookup(letterExchange)
		switch {
		case !isText:
			return name, "{unacceptable_type," + typeName(v) + "}"
		case name == letterKey && len(text) > maxKey:
			return name, "longer than 255 bytes"
		case name == letterKey && !hasExchange:
			return name, "routing_key_but_no_dlx_defined"
		case name == letterStrategy && text != "at-most-once" && text != "at-least-once":
			return name, "invalid_dlx_strategy"
		}
	}
	return "", ""
}

// ShardOf returns the shard that holds a queue, and an error if this node does
// not serve it.
func (b *Broker) ShardOf(q *catalog.Queue) (shard.Shard, error) { return b.shardOf(q) }

// MemoryFull reports whether the queues in memory hold all they may: nothing
// more is to be published to them.
func (b *Broker) MemoryFull() bool { return b.memory.shut.Load() }
