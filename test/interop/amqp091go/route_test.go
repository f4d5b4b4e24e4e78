//go:build interop

package amqp091go

import (
	"context"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publish sends a body and waits for its confirm, so that what it routed to has it.
func publish(t *testing.T, ch *amqp.Channel, exchange, key string, msg amqp.Publishing) {
	t.Helper()
	must(t, ch.Confirm(false))
	d, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), exchange, key, false, false, msg)
	must(t, err)
	want(t, "acked", d.Wait(), true)
}

func TestDirectAndFanout(t *testing.T) {
	ch := channel(t)
	direct, fanout := exchange(t, ch, "direct"), exchange(t, ch, "fanout")
	red, blue := bound(t, ch, direct, "red", nil), bound(t, ch, direct, "blue", nil)
	must(t, ch.QueueBind(red, "crimson", direct, false, nil))
	must(t, ch.QueueBind(red, "", fanout, false, nil))
	must(t, ch.QueueBind(blue, "ignored", fanout, false, nil))
	for _, key := range []string{"red", "blue", "crimson", "green"} {
		publish(t, ch, direct, key, amqp.Publishing{Body: []byte(key)})
	}
	publish(t, ch, fanout, "any", amqp.Publishing{Body: []byte("all")})
	wantBodies(t, contents(t, ch, red), "red", "crimson", "all")
	wantBodies(t, contents(t, ch, blue), "blue", "all")
}

func TestTopic(t *testing.T) {
	ch := channel(t)
	topic := exchange(t, ch, "topic")
	for _, row := range []struct {
		pattern string
		hit     []string
		miss    []string
	}{
		{"#", []string{"", "a", "a.b.c", ".", ".."}, nil},
		{"*", []string{"a"}, []string{"a.b", ""}},
		{"a.*", []string{"a.b", "a."}, []string{"a", "a.b.c", "b.a"}},
		{"a.#", []string{"a", "a.b", "a.b.c"}, []string{"b.a", "ab"}},
		{"#.z", []string{"z", "a.z", "a.b.z"}, []string{"z.a", "az"}},
		{"a.#.z", []string{"a.z", "a.b.z", "a.b.c.z", "a.z.z"}, []string{"a", "z", "a.b"}},
		{"a.*.#", []string{"a.b", "a.b.c"}, []string{"a", "b.c"}},
		{"#.#", []string{"", "a", "a.b"}, nil},
		{"a.*.c.#.e", []string{"a.b.c.e", "a.x.c.d.d.e"}, []string{"a.c.e", "a.b.c.d"}},
		{"exact.key", []string{"exact.key"}, []string{"exact.keys", "exact"}},
		{"#.#.#.#.b", []string{"b", "a.a.a.a.a.a.a.a.b"}, []string{"a.a.a.a.a.a.a.a.a"}},
	} {
		q := bound(t, ch, topic, row.pattern, nil)
		for _, key := range append(append([]string{}, row.hit...), row.miss...) {
			publish(t, ch, topic, key, amqp.Publishing{Body: []byte("<" + key + ">")})
		}
		var hits []string
		for _, key := range row.hit {
			hits = append(hits, "<"+key+">")
		}
		got := contents(t, ch, q)
		t.Log(row.pattern, got)
		wantBodies(t, got, hits...)
		must(t, ch.QueueUnbind(q, row.pattern, topic, nil))
		must(t, ch.QueueUnbind(q, row.pattern, topic, nil)) // a missing binding is no error
		topic = exchange(t, ch, "topic")                    // auto-delete: it went with its last binding
	}
}

func TestHeaders(t *testing.T) {
	ch := channel(t)
	for _, row := range []struct {
		name    string
		binding amqp.Table
		headers amqp.Table
		hit     bool
	}{
		{"all: every pair", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1", "b": int32(2), "c": true}, true},
		{"all: one missing", amqp.Table{"x-match": "all", "a": "1", "b": int32(2)}, amqp.Table{"a": "1"}, false},
		{"all is the default", amqp.Table{"a": "1", "b": "2"}, amqp.Table{"a": "1"}, false},
		{"any: one is enough", amqp.Table{"x-match": "any", "a": "1", "b": "2"}, amqp.Table{"b": "2"}, true},
		{"any: none", amqp.Table{"x-match": "any", "a": "1", "b": "2"}, amqp.Table{"a": "2"}, false},
		{"integers of any width", amqp.Table{"n": int64(7)}, amqp.Table{"n": int16(7)}, true},
		{"a number is not a string", amqp.Table{"n": int64(7)}, amqp.Table{"n": "7"}, false},
		{"void tests presence", amqp.Table{"n": nil}, amqp.Table{"n": "whatever"}, true},
		{"void tests absence", amqp.Table{"n": nil}, amqp.Table{"m": "whatever"}, false},
		{"empty all", amqp.Table{"x-match": "all"}, amqp.Table{"m": "1"}, true},
		{"empty any", amqp.Table{"x-match": "any"}, amqp.Table{"m": "1"}, false},
		{"x- is skipped by all", amqp.Table{"x-match": "all", "x-other": "1", "a": "1"}, amqp.Table{"a": "1"}, true},
		{"x- counts with all-with-x", amqp.Table{"x-match": "all-with-x", "x-other": "1", "a": "1"}, amqp.Table{"a": "1"}, false},
		{"x- counts with any-with-x", amqp.Table{"x-match": "any-with-x", "x-other": "1"}, amqp.Table{"x-other": "1"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			headers := exchange(t, ch, "headers")
			q := bound(t, ch, headers, "", row.binding)
			publish(t, ch, headers, "key is ignored", amqp.Publishing{Headers: row.headers})
			want(t, "hit", len(contents(t, ch, q)) == 1, row.hit)
		})
	}
}

func TestOneCopyForEachQueue(t *testing.T) {
	ch := channel(t)
	topic := exchange(t, ch, "topic")
	q := bound(t, ch, topic, "#", nil)
	must(t, ch.QueueBind(q, "a.*", topic, false, nil))
	must(t, ch.QueueBind(q, "a.b", topic, false, nil))
	publish(t, ch, topic, "a.b", amqp.Publishing{Body: []byte("once")})
	wantBodies(t, contents(t, ch, q), "once")
}

func TestExchangeToExchange(t *testing.T) {
	ch := channel(t)
	in, out := exchange(t, ch, "topic"), exchange(t, ch, "direct")
	q := bound(t, ch, out, "news.eu", nil)
	must(t, ch.ExchangeBind(out, "news.#", in, false, nil))
	publish(t, ch, in, "news.eu", amqp.Publishing{Body: []byte("eu")})
	publish(t, ch, in, "news.us", amqp.Publishing{Body: []byte("us")})
	publish(t, ch, in, "weather.eu", amqp.Publishing{Body: []byte("rain")})
	wantBodies(t, contents(t, ch, q), "eu")
	must(t, ch.ExchangeBind(in, "loop", out, false, nil)) // a cycle delivers once
	must(t, ch.ExchangeUnbind(out, "news.#", in, false, nil))
}

func TestAlternateExchange(t *testing.T) {
	ch := channel(t)
	lost := exchange(t, ch, "fanout")
	q := bound(t, ch, lost, "", nil)
	main := unique(t)
	must(t, ch.ExchangeDeclare(main, "direct", false, true, false, false, amqp.Table{"alternate-exchange": lost}))
	bound(t, ch, main, "known", nil)
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(t, ch.Confirm(false))
	d, err := ch.PublishWithDeferredConfirm(main, "unknown", true, false, amqp.Publishing{Body: []byte("stray")})
	must(t, err)
	want(t, "acked", d.Wait(), true)
	wantBodies(t, contents(t, ch, q), "stray")
	select {
	case r := <-returns:
		t.Fatalf("returned although the alternate exchange took it: %+v", r)
	default:
	}
}

func TestPredeclaredExchanges(t *testing.T) {
	ch := channel(t)
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
	} {
		must(t, ch.ExchangeDeclarePassive(name, kind, true, false, false, false, nil))
		must(t, ch.ExchangeDeclare(name, kind, true, false, false, false, nil)) // the same again is no error
	}
}
