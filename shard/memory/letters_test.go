package memory_test

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

// post counts what a queue says to its mail.
type post struct {
	told    int
	dropped uint64
}

func (p *post) Posted(shard.Outbox, shard.QueueID) { p.told++ }
func (p *post) Dropped(_ shard.QueueID, n uint64)  { p.dropped += n }

// A mailbox is a queue in memory with letters.
type mailbox struct {
	t    *testing.T
	s    shard.Settings
	q    *memory.Queue
	mail post
	now  int64
	kept int // bytes held
	gone bool
}

const mailID = 7

func newMailbox(t *testing.T, s shard.Settings) *mailbox {
	b := &mailbox{t: t, s: s, now: 1000}
	b.q = memory.New(memory.Options{
		ID: mailID, Settings: s, Incarnation: queue.Incarnation{Node: 1, Number: 1}, Now: func() int64 { return b.now },
		Lookup: func() (shard.Settings, bool) { return b.s, !b.gone }, Memory: func(d int) { b.kept += d },
		Ended: func(shard.QueueID) {}, Expiring: func(*memory.Queue) {}, Mail: &b.mail,
	})
	return b
}

func (b *mailbox) publish(from, n int) {
	for i := range n {
		b.q.Publish([]shard.Publish{{Message: &message.Message{Body: fmt.Appendf(nil, "%d", from+i)}, Queues: []shard.QueueID{mailID}}})
	}
}

func (b *mailbox) counts() (c shard.Counts) {
	b.q.Counts(mailID, func(x shard.Counts, err error) {
		if err != nil {
			b.t.Fatal(err)
		}
		c = x
	})
	return c
}

// letters takes what the queue gives until it has no more, which must begin with
// this body.
func (b *mailbox) letters(first int) (all []shard.Letter) {
	b.t.Helper()
	for {
		var part []shard.Letter
		b.q.Letters(mailID, func(r shard.LettersResult, err error) {
			if err != nil || !r.Volatile {
				b.t.Fatalf("%+v, %v", r, err)
			}
			part = r.Letters
		})
		if len(part) == 0 {
			break
		}
		all = append(all, part...)
	}
	for i := range all {
		m, err := message.Parse(all[i].Blob)
		if err != nil || string(m.Body) != fmt.Sprint(first+i) {
			b.t.Fatalf("letter %d is %q, %v", i, m.Body, err)
		}
	}
	return all
}

func (b *mailbox) left(ls []shard.Letter) {
	var runs []queue.Run
	for i := range ls {
		runs = queue.AppendRun(runs, ls[i].Number, ls[i].Size)
	}
	for _, r := range runs {
		b.q.Left(mailID, r)
	}
}

func bounded(rule shard.LetterRule) (s shard.Settings) {
	s.MaxLength, s.Letters = queue.AtMost(10), rule
	return s
}

// An outbox is bounded: what dies while it is full waits, in order, and goes
// when letters have left.
func TestDeathsWaitForTheOutbox(t *testing.T) {
	b := newMailbox(t, bounded(shard.AtLeastOnce))
	const n = 3000
	b.publish(0, n+10)
	if c := b.counts(); c.Ready != 10 || c.Letters != n {
		t.Fatalf("%+v", c)
	}
	for first := 0; first < n; {
		ls := b.letters(first)
		if len(ls) == 0 || len(ls) > queue.OriginWindow {
			t.Fatalf("%d letters at once behind %d", len(ls), first)
		}
		told := b.mail.told
		b.left(ls)
		if first += len(ls); first < n && b.mail.told != told+1 {
			t.Fatalf("told %d times of the letters behind %d", b.mail.told-told, first)
		}
	}
	if c := b.counts(); c.Ready != 10 || c.Letters != 0 || b.mail.dropped != 0 {
		t.Fatalf("%+v, %d dropped", c, b.mail.dropped)
	}
	b.q.Purge(mailID, func(uint64, error) {})
	if b.kept != 0 {
		t.Errorf("%d bytes are held by nothing", b.kept)
	}
}

// At most once: what has no room is gone.
func TestDeathsWithoutRoomAreDropped(t *testing.T) {
	b := newMailbox(t, bounded(shard.AtMostOnce))
	b.publish(0, 3010)
	if c := b.counts(); c.Letters+b.mail.dropped != 3000 || b.mail.dropped == 0 || c.Ready != 10 {
		t.Fatalf("%+v, %d dropped", c, b.mail.dropped)
	}
	b.left(b.letters(0))
	if c := b.counts(); c.Letters != 0 {
		t.Fatalf("%+v", c)
	}
}

// A queue whose dead can not leave refuses publishes in the end.
func TestTooManyDeathsStopPublishers(t *testing.T) {
	b := newMailbox(t, bounded(shard.AtLeastOnce))
	const n = 70000
	var p answers
	for i := range n {
		b.q.Publish([]shard.Publish{{Message: &message.Message{Body: []byte("x")}, Queues: []shard.QueueID{mailID}, To: &p, Tag: uint64(i + 1)}})
	}
	if c := b.counts(); p.refused == 0 || p.taken+p.refused != n || c.Letters+c.Ready != uint64(p.taken) || c.Ready != 10 {
		t.Fatalf("%+v with %+v", c, p)
	}
}

type answers struct{ taken, refused int }

func (a *answers) Confirmed(_ uint64, n uint32, refused bool) {
	if refused {
		a.refused += int(n)
	} else {
		a.taken += int(n)
	}
}
func (a *answers) Unknown(uint64, uint32) {}
func (a *answers) Wake()                  {}

// A full queue that says so posts what it refuses; while its outbox is full it
// only refuses.
func TestRefusedPublishesArePosted(t *testing.T) {
	s := bounded(shard.AtLeastOnce)
	s.Overflow = queue.PostPublish
	b := newMailbox(t, s)
	var p answers
	for i := range 2000 {
		b.q.Publish([]shard.Publish{{Message: &message.Message{Body: fmt.Appendf(nil, "%d", i)}, Queues: []shard.QueueID{mailID}, To: &p, Tag: uint64(i + 1)}})
	}
	if c := b.counts(); c.Ready != 10 || p.taken != 10 || p.refused != 1990 || c.Letters != queue.OriginWindow || b.mail.dropped != 1990-queue.OriginWindow {
		t.Fatalf("%+v with %+v, %d dropped", c, p, b.mail.dropped)
	}
	for _, l := range b.letters(10) {
		if l.Why != queue.Dropped {
			t.Fatalf("%+v", l)
		}
	}
}

// The rule may change: without one what waits is gone.
func TestDeathsFollowTheRule(t *testing.T) {
	b := newMailbox(t, bounded(shard.AtLeastOnce))
	b.publish(0, 3010)
	b.s.Letters = shard.NoLetters
	b.q.Changed(mailID)
	if c := b.counts(); c.Letters >= 3000 || c.Letters < queue.OriginWindow || c.Ready != 10 {
		t.Fatalf("%+v", c)
	}
	b.left(b.letters(0))
}
