package load

import (
	"context"
	"math/rand/v2"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// A Publisher publishes with confirms, or in transactions.
type Publisher struct {
	World *World
	Home  int // the node it prefers
	Seed  uint64

	Exchange, Key string
	Routes        uint64 // bits of the queues that get what it publishes
	// Window is how many messages are unconfirmed at most, Rate how many are sent in
	// a second; 0: as many as it can.
	Window, Rate int
	// Tx is how many messages a transaction has; 0: confirms instead.
	Tx int
	// Life is how long a connection is used; 0: until it breaks.
	Life time.Duration
	// OnConfirm is told when a message was sent and confirmed, and where.
	OnConfirm func(node int, sent, confirmed time.Time)
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	r := rand.New(rand.NewPCG(p.Seed, 1))
	u := &turn{w: p.World, home: p.Home, rand: r}
	for ctx.Err() == nil {
		l := u.connect(ctx)
		if l == nil {
			return
		}
		p.World.Rec.Add(checker.Event{Kind: checker.Routes, Client: l.id, N: p.Routes})
		s := &stream{p: p, link: l, rand: r, sent: map[uint64]time.Time{}}
		free := l.bound(ctx)
		whole := s.run(ctx)
		free()
		if whole {
			l.leave()
			u.tried = 0 // home again
		} else {
			l.gone()
		}
	}
}

// A stream is what a publisher sends over one link. What is unconfirmed when it
// breaks is never sent again.
type stream struct {
	p    *Publisher
	link *link
	rand *rand.Rand

	next, answered uint64
	confirms       <-chan amqp.Confirmation
	sent           map[uint64]time.Time // for OnConfirm
	body           []byte
}

// run reports whether the link is whole, and nothing is open on it.
func (s *stream) run(ctx context.Context) bool {
	life := ctx
	if s.p.Life > 0 {
		var cancel context.CancelFunc
		life, cancel = context.WithTimeout(ctx, s.p.Life+time.Duration(s.rand.Int64N(int64(s.p.Life))))
		defer cancel()
	}
	if s.p.Tx > 0 {
		return s.transactions(life)
	}
	if within(func() error { return s.link.ch.Confirm(false) }) != nil {
		return false
	}
	s.confirms = s.link.ch.NotifyPublish(make(chan amqp.Confirmation, s.p.Window+1)) // closed with the channel
	begin := time.Now()
	for life.Err() == nil {
		for s.next-s.answered >= uint64(s.p.Window) {
			if !s.wait(Patience * 3) {
				return false
			}
		}
		if s.p.Rate > 0 {
			due := begin.Add(time.Duration(s.next) * time.Second / time.Duration(s.p.Rate))
			if !s.until(life, due) {
				return false
			}
		}
		if s.send() != nil {
			return false
		}
		if !s.take() {
			return false
		}
	}
	for s.next > s.answered {
		if !s.wait(Patience * 3) {
			return false
		}
	}
	return true
}

// wait takes one answer.
func (s *stream) wait(limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case a, ok := <-s.confirms:
		return ok && s.answer(a)
	case <-t.C:
		return false
	}
}

// until takes answers until it is time to go on.
func (s *stream) until(ctx context.Context, due time.Time) bool {
	rest := time.Until(due)
	if rest <= 0 {
		return true
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	for {
		select {
		case a, ok := <-s.confirms:
			if !ok || !s.answer(a) {
				return false
			}
		case <-t.C:
			return true
		case <-ctx.Done():
			return true
		}
	}
}

// take takes the answers that are there.
func (s *stream) take() bool {
	for {
		select {
		case a, ok := <-s.confirms:
			if !ok || !s.answer(a) {
				return false
			}
		default:
			return true
		}
	}
}

func (s *stream) answer(a amqp.Confirmation) bool {
	s.answered++
	id := checker.ID{Producer: s.link.id, Seq: a.DeliveryTag - 1}
	if !a.Ack {
		s.p.World.Rec.Add(checker.Event{Kind: checker.Refuse, ID: id})
		return true
	}
	s.p.World.Rec.Add(checker.Event{Kind: checker.Confirm, ID: id})
	if s.p.OnConfirm != nil {
		s.p.OnConfirm(s.link.node, s.sent[id.Seq], time.Now())
		delete(s.sent, id.Seq)
	}
	return true
}

func (s *stream) send() error {
	id := checker.ID{Producer: s.link.id, Seq: s.next}
	s.next++
	if s.p.OnConfirm != nil {
		s.sent[id.Seq] = time.Now()
	}
	s.body = checker.AppendBody(s.body[:0], id, size(s.rand))
	s.p.World.Rec.Add(checker.Event{Kind: checker.Send, ID: id})
	return s.link.ch.PublishWithContext(context.Background(), s.p.Exchange, s.p.Key, false, false, amqp.Publishing{
		DeliveryMode: amqp.Persistent, Body: s.body,
	})
}

// transactions publishes in transactions, of which some are rolled back.
func (s *stream) transactions(ctx context.Context) bool {
	if within(s.link.ch.Tx) != nil {
		return false
	}
	pace := time.NewTicker(time.Second * time.Duration(s.p.Tx) / time.Duration(max(s.p.Rate, 1)))
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-pace.C:
		}
		first := s.next
		for range s.p.Tx {
			if s.send() != nil {
				s.told(checker.Refuse, first) // nobody asked for the commit
				return false
			}
		}
		end, kind := s.link.ch.TxCommit, checker.Confirm
		if s.rand.IntN(8) == 0 {
			end, kind = s.link.ch.TxRollback, checker.Refuse
		}
		if within(end) != nil {
			s.p.World.Rec.Add(checker.Event{Kind: checker.Doubt, ID: checker.ID{Producer: s.link.id, Seq: first}, N: s.next - first})
			return false
		}
		s.told(kind, first)
	}
}

func (s *stream) told(k checker.Kind, first uint64) {
	for seq := first; seq < s.next; seq++ {
		s.p.World.Rec.Add(checker.Event{Kind: k, ID: checker.ID{Producer: s.link.id, Seq: seq}})
	}
}

// size varies from a few bytes to several frames.
func size(r *rand.Rand) int {
	switch n := r.IntN(200); {
	case n == 0:
		return 200_000
	case n < 12:
		return 16
	default:
		return 100 + n*11
	}
}
