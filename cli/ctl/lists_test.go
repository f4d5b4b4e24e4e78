package ctl

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// anyOrder takes out of an output what differs from run to run, and the order of
// its lines: RabbitMQ's lists have none.
func anyOrder(s string) string {
	s = regexp.MustCompile(`<rabbit@node-01(\.\d+){3}>`).ReplaceAllString(s, "<PID>")
	s = regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`).ReplaceAllString(s, "127.0.0.1:PORT")
	s = regexp.MustCompile(`(127\.0\.0\.1\t)\d{4,5}`).ReplaceAllString(s, "${1}PORT")
	// The queue had more arguments, whose order our client does not keep.
	s = strings.ReplaceAll(s, `,{""x-dead-letter-exchange"",""dlx""},{""x-expires"",1800000},{""x-queue-type"",""classic""}`, "")
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(l, ","), " ")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// The transcripts were made by a client of RabbitMQ 3.10.8 that did this.
func asAtRabbitMQ(t *testing.T, url string) {
	t.Helper()
	p := dial(t, url)
	ch := p.channel()
	declare := func(name string, durable, autoDelete, exclusive bool, args amqp.Table) {
		t.Helper()
		_, err := ch.QueueDeclare(name, durable, autoDelete, exclusive, false, args)
		p.must(err)
	}
	declare("orders", true, false, false, amqp.Table{"x-max-length": int32(1000)})
	declare("tmp", false, true, true, nil)
	declare("tab\tand \"quote\" \\ é, x", true, false, false, nil)
	declare("qq", true, false, false, amqp.Table{"x-queue-type": "quorum"})
	p.must(ch.ExchangeDeclare("logs", "topic", true, false, false, false, amqp.Table{"alternate-exchange": "ae"}))
	p.must(ch.ExchangeDeclare("ae", "fanout", true, true, true, false, nil))
	p.must(ch.QueueBind("orders", "a.#", "logs", false, nil))
	p.must(ch.QueueBind("orders", "", "amq.headers", false, amqp.Table{"x-match": "all", "k": "v"}))
	p.must(ch.ExchangeBind("ae", "", "logs", false, nil))
	p.must(ch.Confirm(false))
	acks := ch.NotifyPublish(make(chan amqp.Confirmation, 5))
	for range 5 {
		p.must(ch.PublishWithContext(t.Context(), "", "orders", false, false, amqp.Publishing{Body: []byte("hello"), DeliveryMode: 2}))
		<-acks
	}
	ch2 := p.channel()
	p.must(ch2.Qos(2, 0, false))
	got, err := ch2.Consume("orders", "ctag-1", false, false, false, false, amqp.Table{"x-priority": int32(5)})
	p.must(err)
	<-got
	<-got
	_, err = ch2.Consume("tmp", "ctag-2", true, true, false, false, nil)
	p.must(err)
	ch3 := p.channel()
	p.must(ch3.Tx())
	p.must(ch3.Qos(7, 0, true))
	p.must(ch3.PublishWithContext(t.Context(), "", "orders", false, false, amqp.Publishing{Body: []byte("hello")}))
	p.must(ch3.Qos(7, 0, true)) // answered behind the publish
}

// What rabbitmqctl of RabbitMQ 3.10.8 printed of a node, printed of ours.
// (estate R1, R9).
func TestListsAsRabbitMQ(t *testing.T) {
	d, url := nodeDesk(t)
	asAtRabbitMQ(t, url)
	differs := map[string]string{ // in our words; the exit code is the same
		"rotate_logs":       "This command does not rotate logs anymore [deprecated]",
		"ping":              "Ping succeeded",
		"node_health_check": "Health check passed",
	}
	for _, e := range transcript(t, "lists.txt") {
		line := strings.Join(e.line, " ")
		code := d.runAs(e.tool, e.line...)
		errs, _, _ := strings.Cut(d.errs.String(), "\nUsage\n")
		if part, ok := differs[line]; ok {
			if code != e.exit || !strings.Contains(d.out.String()+errs, part) || !strings.Contains(e.out+e.errs, part) {
				t.Errorf("lists.txt:%d: %s: exit code %d\n%s%s", e.at, line, code, d.out.String(), errs)
			}
			continue
		}
		if got, want := anyOrder(d.out.String()), anyOrder(e.out); code != e.exit || got != want || strings.TrimSpace(errs) != strings.TrimSpace(e.errs) {
			t.Errorf("lists.txt:%d: %s: exit code %d, want %d\nprinted\n%s\nwant\n%s\nerrors %q\nwant   %q", e.at, line, code, e.exit, got, want, errs, e.errs)
		}
	}
}
