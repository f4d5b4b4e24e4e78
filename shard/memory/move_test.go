package memory_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A target is the shard that a queue goes to.
type target struct {
	shard.Shard
	room   int // publishes it takes before it says that it is full
	ready  []func()
	got    []shard.Publish
	bodies []string
	closed []shard.QueueID
}

func (s *target) Publish(ps []shard.Publish) bool {
	for i := range ps {
		s.got = append(s.got, ps[i])
		s.bodies = append(s.bodies, string(ps[i].Message.Body))
	}
	s.room -= len(ps)
	return s.room > 0
}
func (s *target) Ready(f func()) { s.ready = append(s.ready, f) }
func (s *target) Close(q shard.QueueID, _ shard.Conditions, done func(uint64, error)) {
	s.closed = append(s.closed, q)
	done(7, nil)
}

// answer answers the next publishes of those it got.
func (s *target) answer(n int, refused bool) {
	ps := slices.Clone(s.got[:n])
	s.got = s.got[n:]
	for _, p := range ps {
		p.To.Confirmed(p.Tag, 1, refused)
	}
	ps[0].To.Wake()
}

func (s *target) open() {
	s.room = 1000
	for _, f := range s.ready {
		f()
	}
	s.ready = nil
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A queue is quiet once what was held is settled; then all of it goes to the shard,
// in order, and behind it what is published here yet. Who asks waits for that.
func TestGo(t *testing.T) {
	b := newMailbox(t, shard.Settings{})
	b.publish(0, 3)
	var held shard.Delivery
	b.q.Get(mailID, 9, func(r shard.GetResult, err error) { held = r.Delivery })
	quiet := 0
	b.q.Freeze(func() { quiet++ })
	b.publish(3, 1)
	var empty *bool
	b.q.Get(mailID, 9, func(r shard.GetResult, err error) { empty = &r.Empty })
	if quiet != 0 || empty != nil {
		t.Fatalf("quiet %d times with a message held; a get is answered: %v", quiet, empty != nil)
	}
	b.q.Settle([]shard.Settle{{Queue: mailID, Seq: held.Seq, Holding: held.Holding, Outcome: shard.Requeue}}, nil)
	want(t, "quiet", quiet, 1)

	to := &target{room: 3}
	b.q.Go(to)
	want(t, "at first", to.bodies, []string{"0", "1", "2"}) // it is full
	want(t, "returned before", fmt.Sprint(to.got[0].Acquired, to.got[1].Acquired), "1 0")
	counted, closed := false, uint64(0)
	b.q.Counts(mailID, func(_ shard.Counts, err error) { counted = err == nil })
	b.q.Close(mailID, shard.Conditions{}, func(n uint64, err error) { closed = n })
	to.answer(2, false)
	b.publish(4, 2)
	want(t, "while full", len(to.bodies), 3)
	to.open()
	want(t, "then", to.bodies[3:], []string{"3", "4", "5"})
	to.answer(4, true) // nobody led for long
	want(t, "again", to.bodies[6:], []string{"2", "3", "4", "5"})
	if counted || closed != 0 {
		t.Fatal("answered before all is there")
	}
	to.answer(4, false)
	if !counted || closed != 7 || empty == nil || !*empty || !slices.Equal(to.closed, []shard.QueueID{mailID}) {
		t.Errorf("counted %v, closed %d by %v, got %v", counted, closed, to.closed, empty)
	}
	want(t, "bytes kept", b.kept, 0)
	b.publish(6, 1)
	want(t, "late", to.bodies[10:], []string{"6"})
}

// A queue that does not move goes on as if nothing had been.
func TestThaw(t *testing.T) {
	b := newMailbox(t, shard.Settings{})
	b.publish(0, 2)
	b.q.Get(mailID, 9, func(shard.GetResult, error) {})
	b.q.Freeze(func() { t.Error("quiet with a message held") })
	got := ""
	b.q.Get(mailID, 9, func(r shard.GetResult, err error) {
		m, _ := message.Parse(r.Blob)
		got = string(m.Body)
	})
	if got != "" {
		t.Fatal("a frozen queue gives")
	}
	b.q.Thaw()
	want(t, "after the thaw", got, "1")
}

// What has a time to live keeps what is left of it, and what is up dies here.
func TestGoWithTimes(t *testing.T) {
	b := newMailbox(t, shard.Settings{})
	for i, ttl := range []uint32{100, 1000} {
		b.q.Publish([]shard.Publish{{Message: &message.Message{Body: fmt.Append(nil, i)}, Queues: []shard.QueueID{mailID}, HasTTL: true, TTL: ttl}})
	}
	b.publish(2, 1)
	to := &target{room: 10}
	b.q.Freeze(func() {})
	b.now += 400
	b.q.Go(to)
	want(t, "there", to.bodies, []string{"1", "2"})
	want(t, "times", fmt.Sprint(to.got[0].TTL, to.got[0].HasTTL, to.got[1].HasTTL), "600 true false")
}

// One that is deleted on its way answers who waits.
func TestDeletedOnItsWay(t *testing.T) {
	b := newMailbox(t, shard.Settings{})
	b.publish(0, 2)
	to := &target{room: 10}
	b.q.Freeze(func() {})
	b.q.Go(to)
	var err error
	b.q.Counts(mailID, func(_ shard.Counts, e error) { err = e })
	b.gone = true
	b.q.Changed(mailID)
	if !errors.Is(err, shard.ErrGone) || len(to.got) != 2 {
		t.Errorf("%v, %d messages went", err, len(to.got))
	}
	want(t, "bytes kept", b.kept, 0)
}
