package cli

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"
)

// perfOptions are what a run is to be.
type perfOptions struct {
	Producers int  `json:"producers"`
	Consumers int  `json:"consumers"`
	Queues    int  `json:"queues"`
	Size      int  `json:"size"`
	Transient bool `json:"transient"`
	Window    int  `json:"confirm_window"` // 0: no confirms
	Prefetch  int  `json:"prefetch"`       // 0: deliveries are not acknowledged
	Rate      int  `json:"rate"`           // messages a second in all; 0: as fast as can be
	Count     int  `json:"count"`          // messages in all; 0: until the time is over

	time, drain time.Duration
	queues      []string
}

// perfBatch is how many messages are handed over at once.
const perfBatch = 64

// A perfRun is one run of perf.
type perfRun struct {
	o      perfOptions
	conn   *connector
	ledger *perfLedger
	start  time.Time
	now    func() time.Time

	confirms []hist // one per producer
	readers  []*perfReader

	sent     time.Duration // how long the producers took
	sending  atomic.Int64  // producers not done
	activity atomic.Int64  // nanoseconds since start of the latest delivery

	mu struct {
		sync.Mutex
		err error // the first link that broke
	}
	broken chan struct{} // closed with err
}

func (r *perfRun) queue(i int) string { return r.o.queues[i%len(r.o.queues)] }

func (r *perfRun) since() time.Duration { return r.now().Sub(r.start) }

// fail ends the run: a link that breaks makes every figure meaningless.
func (r *perfRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.err == nil {
		r.mu.err = err
		close(r.broken)
	}
}

func (r *perfRun) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.err
}

// run does it. progress is called every second.
func (r *perfRun) run(ctx context.Context, progress func(time.Duration)) (err error) {
	control, err := r.conn.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		for i := range r.o.Queues {
			if derr := control.Delete(context.WithoutCancel(ctx), r.queue(i)); err == nil && derr != nil {
				err = fmt.Errorf("delete the run's queues: %w", derr)
			}
		}
		if cerr := closeLink(ctx, control); err == nil {
			err = cerr
		}
	}()
	for i := range r.o.Queues {
		if err := control.Declare(ctx, queueSpec{Name: r.queue(i), Durable: !r.o.Transient}); err != nil {
			return err
		}
	}
	r.broken = make(chan struct{})
	r.confirms = make([]hist, r.o.Producers)
	consumers, err := r.consume(ctx)
	defer func() {
		for _, l := range consumers {
			if cerr := closeLink(ctx, l); err == nil && cerr != nil {
				err = fmt.Errorf("close a consumer: %w", cerr)
			}
		}
	}()
	if err != nil {
		return err
	}
	return r.traffic(ctx, progress)
}

// consume starts the consumers.
func (r *perfRun) consume(ctx context.Context) (links []link, err error) {
	r.start = r.now()
	for i := range r.o.Consumers {
		l, err := r.conn.again().connect(ctx)
		if err != nil {
			return links, err
		}
		links = append(links, l)
		reader := r.ledger.reader()
		r.readers = append(r.readers, reader)
		err = l.Consume(ctx, r.queue(i), consumeOptions{Prefetch: r.o.Prefetch, AutoAck: r.o.Prefetch == 0}, func(msgs []incoming) {
			now := r.since()
			reader.read(msgs, now)
			r.activity.Store(int64(now))
			if r.o.Prefetch > 0 {
				_ = l.Ack(msgs[len(msgs)-1].Tag, true) // a broken link tells by Done
			}
		})
		if err != nil {
			return links, err
		}
	}
	return links, nil
}

// traffic runs the producers and waits for what they sent to arrive.
func (r *perfRun) traffic(ctx context.Context, progress func(time.Duration)) error {
	var links []link
	defer func() {
		for _, l := range links {
			_ = closeLink(ctx, l) // all that matters of it is settled
		}
	}()
	for range r.o.Producers {
		l, err := r.conn.again().connect(ctx)
		if err != nil {
			return err
		}
		links = append(links, l)
	}
	r.start = r.now()
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.o.time > 0 {
		stop, cancel = context.WithTimeout(ctx, r.o.time)
		defer cancel()
	}
	var producers sync.WaitGroup
	r.sending.Store(int64(len(links)))
	for i, l := range links {
		producers.Go(func() {
			defer r.sending.Add(-1)
			if err := r.produce(ctx, stop, l, i); err != nil {
				r.fail(fmt.Errorf("producer %d: %w", i, err))
			}
		})
	}
	var sendingTime sync.WaitGroup
	sendingTime.Go(func() { producers.Wait(); r.sent = r.since() })
	err := r.watch(ctx, progress)
	cancel()
	sendingTime.Wait()
	return errors.Join(err, r.failure())
}

// watch reports progress until everything has arrived, or nothing does any more.
func (r *perfRun) watch(ctx context.Context, progress func(time.Duration)) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // the user wants the figures so far
		case <-r.broken:
			return nil
		case <-second.C:
			progress(r.since())
		case <-look.C:
			if r.sending.Load() > 0 {
				continue
			}
			sent, _, rejected := r.ledger.totals()
			quiet := r.since() - time.Duration(r.activity.Load())
			if r.ledger.received.Load() >= sent-rejected || quiet > r.o.drain || r.o.Consumers == 0 {
				return nil
			}
		}
	}
}

// produce sends on one link until stop ends or its share of the count is sent,
// then waits for what is not confirmed yet.
func (r *perfRun) produce(ctx, stop context.Context, l link, number int) error {
	p := &perfSender{
		r: r, l: l, number: number, account: &r.ledger.producers[number],
		table: castagnoli(), free: make(chan struct{}, 1),
	}
	if r.o.Window > 0 {
		p.mu.times = make([]time.Duration, r.o.Window)
		if err := l.Confirms(ctx, p.settled); err != nil {
			return err
		}
	}
	return p.send(ctx, stop)
}

// A perfSender is one producer at work.
type perfSender struct {
	r       *perfRun
	l       link
	number  int
	account *perfProducer
	table   *crc32.Table

	batch  []outgoing
	bodies []byte

	mu struct {
		sync.Mutex
		times  []time.Duration // when each open message was sent, by sequence modulo the window
		lowest uint64          // least sequence not settled
		done   bitset          // settled
	}
	free chan struct{} // something was settled
}

// share is how many messages this producer sends in all; 0 is no limit.
func (p *perfSender) share() uint64 {
	n, all := uint64(p.r.o.Count), uint64(p.r.o.Producers)
	if n == 0 {
		return 0
	}
	share := n / all
	if uint64(p.number) < n%all {
		share++
	}
	return share
}

func (p *perfSender) send(ctx, stop context.Context) error {
	next, share, limited := uint64(0), p.share(), p.r.o.Count > 0
	for stop.Err() == nil && (!limited || next < share) {
		n := p.room(next)
		if limited {
			n = min(n, share-next)
		}
		n, wait := p.due(next, n)
		if n > 0 {
			if err := p.publish(ctx, next, n); err != nil {
				return err
			}
			next += n
			continue
		}
		if err := p.pause(stop, wait); err != nil {
			return err
		}
	}
	for p.open(next) > 0 && ctx.Err() == nil {
		if err := p.pause(ctx, p.r.o.drain); err != nil {
			return err
		}
	}
	return nil
}

// room is how many messages may be sent now.
func (p *perfSender) room(next uint64) uint64 {
	if p.r.o.Window == 0 {
		return perfBatch
	}
	return min(perfBatch, uint64(p.r.o.Window)-p.open(next))
}

// open is how far the least unsettled message lies behind.
func (p *perfSender) open(next uint64) uint64 {
	if p.r.o.Window == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return next - p.mu.lowest
}

// due is how many of n messages are due at the rate asked for, and how long it
// is until the next is.
func (p *perfSender) due(next, n uint64) (uint64, time.Duration) {
	if p.r.o.Rate == 0 || n == 0 {
		return n, p.r.o.drain
	}
	now, k := p.r.since(), uint64(0)
	for k < n && p.when(next+k) <= now {
		k++
	}
	return k, p.when(next+k) - now
}

// when is the time at which a message is due. The producers take turns.
func (p *perfSender) when(sequence uint64) time.Duration {
	n := sequence*uint64(p.r.o.Producers) + uint64(p.number)
	return time.Duration(float64(n) / float64(p.r.o.Rate) * float64(time.Second))
}

// pause waits until something is settled, or for d.
func (p *perfSender) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.free:
	case <-t.C:
		if d >= p.r.o.drain && p.r.o.Rate == 0 {
			return fmt.Errorf("nothing was confirmed for %s", d)
		}
	case <-p.l.Done():
		return p.l.Err()
	case <-ctx.Done():
	}
	return nil
}

func (p *perfSender) publish(ctx context.Context, next, n uint64) error {
	size := p.r.o.Size
	if p.bodies == nil {
		p.bodies = make([]byte, size*perfBatch)
		for i := range p.bodies {
			p.bodies[i] = byte(i)
		}
	}
	p.batch = p.batch[:0]
	now := p.r.since()
	for k := range n {
		sent := now
		if p.r.o.Rate > 0 {
			sent = p.when(next + k) // a stall must not hide the delay of what it held up
		}
		body := p.bodies[int(k)*size : int(k+1)*size]
		payload{p.r.ledger.run, uint32(p.number), next + k, sent}.put(body, p.table)
		p.batch = append(p.batch, outgoing{Key: p.r.queue(p.number + int((next+k)%uint64(p.r.o.Queues))), Persistent: !p.r.o.Transient, Body: body})
		if p.r.o.Window > 0 {
			p.mu.Lock()
			p.mu.times[(next+k)%uint64(len(p.mu.times))] = sent
			p.mu.Unlock()
		}
	}
	p.account.sent.Add(int64(n)) // before it can arrive
	return p.l.Publish(ctx, p.batch)
}

// settled is called by the link; its numbers begin at 1.
func (p *perfSender) settled(from, to uint64, ok bool) {
	from, to = from-1, to-1
	p.account.settle(from, to, ok)
	now := p.r.since()
	p.mu.Lock()
	for n := max(from, p.mu.lowest); n <= to; n++ {
		if p.mu.done.set(int(n)) {
			p.r.confirms[p.number].add(now - p.mu.times[n%uint64(len(p.mu.times))])
		}
	}
	for p.mu.done.has(int(p.mu.lowest)) {
		p.mu.lowest++
	}
	p.mu.Unlock()
	select {
	case p.free <- struct{}{}:
	default:
	}
}

// runNumber makes a number of a run's name.
func runNumber(id string) uint64 {
	var b [8]byte
	copy(b[:], id)
	return binary.LittleEndian.Uint64(b[:])
}
