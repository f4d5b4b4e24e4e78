package cli

import (
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"
)

// A perfLedger knows what was sent, confirmed and received in a run, message by
// message, so that no loss, duplicate or change of order goes unseen.
type perfLedger struct {
	run       uint64
	table     *crc32.Table
	producers []perfProducer

	received, redelivered, duplicates, reordered, corrupt, foreign atomic.Int64
}

// A perfProducer is the account of one producer.
type perfProducer struct {
	sent, confirmed, rejected atomic.Int64

	mu struct {
		sync.Mutex
		confirmed, received bitset
	}
}

func newPerfLedger(run uint64, producers int) *perfLedger {
	return &perfLedger{run: run, table: castagnoli(), producers: make([]perfProducer, producers)}
}

func (p *perfProducer) settle(from, to uint64, ok bool) {
	if !ok {
		p.rejected.Add(int64(to - from + 1))
		return
	}
	fresh := int64(0)
	p.mu.Lock()
	for n := from; n <= to; n++ {
		if p.mu.confirmed.set(int(n)) {
			fresh++
		}
	}
	p.mu.Unlock()
	p.confirmed.Add(fresh)
}

// A perfReader is one consumer's view of the ledger: order holds per queue and
// producer, and a consumer reads one queue.
type perfReader struct {
	l       *perfLedger
	last    []int64 // greatest sequence seen of each producer
	latency hist
}

func (l *perfLedger) reader() *perfReader {
	r := &perfReader{l: l, last: make([]int64, len(l.producers))}
	for i := range r.last {
		r.last[i] = -1
	}
	return r
}

// read enters the deliveries of one read. now is the time since the run began.
func (r *perfReader) read(msgs []incoming, now time.Duration) {
	var locked *perfProducer
	for i := range msgs {
		p, err := readPayload(msgs[i].Body, r.l.table)
		switch {
		case err != nil:
			r.l.corrupt.Add(1)
			continue
		case p.run != r.l.run || int64(p.producer) >= int64(len(r.l.producers)):
			r.l.foreign.Add(1)
			continue
		}
		from := &r.l.producers[p.producer]
		if p.sequence >= uint64(from.sent.Load()) {
			r.l.corrupt.Add(1) // nobody sent that
			continue
		}
		if from != locked {
			if locked != nil {
				locked.mu.Unlock()
			}
			locked = from
			locked.mu.Lock()
		}
		fresh := from.mu.received.set(int(p.sequence))
		r.account(msgs[i].Redelivered, p, fresh, now)
	}
	if locked != nil {
		locked.mu.Unlock()
	}
}

func (r *perfReader) account(redelivered bool, p payload, fresh bool, now time.Duration) {
	if redelivered {
		r.l.redelivered.Add(1)
	}
	switch last := r.last[p.producer]; {
	case !fresh:
		r.l.duplicates.Add(1)
		return
	case int64(p.sequence) < last && !redelivered:
		r.l.reordered.Add(1)
	default:
		r.last[p.producer] = max(last, int64(p.sequence))
	}
	r.l.received.Add(1)
	r.latency.add(now - p.sent)
}

// sent, confirmed and rejected add up the producers.
func (l *perfLedger) totals() (sent, confirmed, rejected int64) {
	for i := range l.producers {
		p := &l.producers[i]
		sent += p.sent.Load()
		confirmed += p.confirmed.Load()
		rejected += p.rejected.Load()
	}
	return sent, confirmed, rejected
}

// lost counts what had to arrive and did not: all that was confirmed, or, where
// confirms were not asked for, all that was sent.
func (l *perfLedger) lost(confirms bool) (lost int64) {
	for i := range l.producers {
		p := &l.producers[i]
		p.mu.Lock()
		if confirms {
			lost += int64(p.mu.confirmed.missing(p.mu.received))
		} else {
			lost += p.sent.Load() - int64(p.mu.received.count())
		}
		p.mu.Unlock()
	}
	return lost
}
