package cli

import (
	"fmt"
	"strings"
)

// A destination is where a producer sends and a consumer reads.
type destination struct {
	text          string // as the user wrote it
	exchange, key string // where to publish
	queue         string // the durable queue, "" if the destination is none
}

// topicExchange is what topic:// publishes to.
const topicExchange = "amq.topic"

// parseDestination reads queue://NAME, topic://NAME and exchange://NAME/KEY; a
// bare name is a queue.
func parseDestination(text string) (destination, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "queue", text
	}
	d := destination{text: scheme + "://" + rest}
	if rest == "" {
		return d, usagef("--destination %s: has no name", text)
	}
	switch scheme {
	case "queue":
		d.queue, d.key = rest, rest
	case "topic":
		d.exchange, d.key = topicExchange, rest
	case "exchange":
		d.exchange, d.key, _ = strings.Cut(rest, "/")
	default:
		return d, usagef("--destination %s: must be queue://NAME, topic://NAME or exchange://NAME/KEY", text)
	}
	for _, name := range []string{d.exchange, d.key} {
		if len(name) > 255 {
			return d, usagef("--destination: a name is %d bytes long, at most 255 are allowed", len(name))
		}
	}
	return d, nil
}

func (d destination) String() string { return d.text }

// source is what must be declared to read from the destination: its own queue,
// or one bound to its exchange. The bound one takes the name given; nobody else
// uses it, and it survives a restart but not being forgotten.
func (d destination) source(private string) queueSpec {
	if d.queue != "" {
		return queueSpec{Name: d.queue, Durable: true}
	}
	return queueSpec{Name: private, Durable: true, Expires: privateExpires, Exchange: d.exchange, Key: d.key}
}

// A queueSpec is a queue to declare and, with Exchange, to bind.
type queueSpec struct {
	Name          string
	Durable       bool
	Expires       int64 // ms without a consumer after which the broker deletes it; 0 never
	Exchange, Key string
}

// privateExpires is how long a queue made for one run outlives its client.
const privateExpires = 10 * 60 * 1000

func (q queueSpec) String() string { return fmt.Sprintf("queue %q", q.Name) }
