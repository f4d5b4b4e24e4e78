package broker

import (
	"context"
	"fmt"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// Tx of a fakeShard keeps what it got; the test answers.
func (s *fakeShard) Tx(t *shard.Tx, done func(error)) {
	s.mu.Lock()
	for _, p := range t.Publishes {
		s.got = append(s.got, fmt.Sprintf("%d:%s", p.Queues[0], p.Message.Body))
	}
	s.settles = append(s.settles, t.Settles...)
	s.mu.Unlock()
	s.tx() <- done
}

// tx is where the answers of transactions are to be given.
func (s *fakeShard) tx() chan func(error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txs == nil {
		s.txs = make(chan func(error), 1)
	}
	return s.txs
}

// A commit gives each shard its part, waits for all, and says the worst that it
// hears. What a publication was made of may change once it was added.
func TestTxCommit(t *testing.T) {
	for _, tc := range []struct {
		one, two error
		want     Kind
	}{
		{nil, nil, Internal},
		{shard.ErrRefused, nil, Partial},
		{nil, shard.ErrRefused, Partial},
		{shard.ErrUnknown, shard.ErrRefused, Unavailable},
		{shard.ErrRefused, shard.ErrUnknown, Unavailable},
	} {
		x := newBench(t, 0)
		a, b := x.queue("a", true), x.queue("b2", true)
		tx := x.s.NewPublisher(&fakeSink{}).NewTx()
		body := []byte("1")
		for _, key := range []string{"a", "b2", "nowhere", "a"} {
			err := tx.Publish(background, &Publication{Message: &message.Message{RoutingKey: []byte(key), Body: body}})
			if err != nil {
				t.Fatal(err)
			}
			body[0]++
		}
		tx.Settle(x.one, []Settle{{Queue: a, Seq: 9}})
		if got := x.one.taken() + x.two.taken(); got != "" || tx.Len() != 4 || tx.Size() == 0 {
			t.Fatalf("before the commit: %s, %d of %d bytes", got, tx.Len(), tx.Size())
		}
		answer := make(chan error)
		var unroutable string
		go func() { // received from below
			answer <- tx.Commit(background, func(i int, m *message.Message) { unroutable += fmt.Sprintf("%d:%s", i, m.Body) })
		}()
		for _, s := range []struct {
			s   *fakeShard
			err error
		}{{x.two, tc.two}, {x.one, tc.one}} {
			(<-s.s.tx())(s.err)
		}
		if err := <-answer; (err == nil) != (tc.want == Internal) || err != nil && KindOf(err) != tc.want {
			t.Errorf("%v and %v: %v", tc.one, tc.two, err)
		}
		if one, two := x.one.taken(), x.two.taken(); one != fmt.Sprintf("%d:1 %d:4", a, a) || two != fmt.Sprintf("%d:2", b) || unroutable != "2:3" {
			t.Errorf("published %q and %q, returned %q", one, two, unroutable)
		}
		if len(x.one.settles) != 1 || len(x.two.settles) != 0 || tx.Len() != 0 || tx.Size() != 0 {
			t.Errorf("settled %v, %v; %d left", x.one.settles, x.two.settles, tx.Len())
		}
	}
}

// A shard that does not answer is not waited for when the session ends.
func TestTxUnanswered(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	tx := x.s.NewPublisher(&fakeSink{}).NewTx()
	if err := tx.Publish(background, &Publication{Message: &message.Message{RoutingKey: []byte("a")}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if err := tx.Commit(ctx, nil); KindOf(err) != Unavailable {
		t.Error(err)
	}
	if err := tx.Publish(background, &Publication{Message: &message.Message{Exchange: []byte("none")}}); KindOf(err) != NotFound {
		t.Error(err)
	}
}
