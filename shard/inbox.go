package shard

import (
	"sync"

	"github.com/warrenmq/warren/core/queue"
)

// A Run is a row of publishes of one confirm stream that stand one behind the
// other in a batch.
type Run struct {
	To    Confirms // nil: nobody is told
	First uint64
	N     uint32
}

// A Request is one call of a Shard that waits for the turn.
type Request struct {
	Kind     RequestKind
	Queue    QueueID
	Consumer *Consumer
	Session  uint64
	End      bool
	Done     func(error)
	DoneN    func(uint64, error)
	DoneGet  func(GetResult, error)
	Counts   func(Counts, error)
	Run      func()
	// For ReqLetters and ReqLeft.
	DoneLetters func(LettersResult, error)
	Letters     queue.Run
	// Behind says that the request has waited for the publishes before it, N
	// what a purge has removed so far.
	Behind bool
	N      uint64
	If     Conditions // of a close
	Renew  bool       // a count that is a use
	// Guest says that a session of another node asks, From which incarnation, if
	// it is known. Settles are those of ReqSettles.
	Guest   bool
	From    queue.Incarnation
	Settles []Settle
}

// RequestKind says which call a Request is.
type RequestKind uint8

// Request kinds.
const (
	ReqSettle RequestKind = iota
	ReqConsume
	ReqCancel
	ReqKick
	ReqGet
	ReqPurge
	ReqCounts
	ReqChanged
	ReqRun
	ReqLetters
	ReqLeft
	ReqClose
	ReqReopen
	// ReqSettles are settles that stand in order with other requests.
	ReqSettles
)

// DefaultParking is how many bytes of publishes may wait for a turn before the
// publishers are told to stop.
const DefaultParking = 1 << 20

// A batch that reached one of these takes no further publish, so that an entry
// stays far below MaxEntry however many publishers come at once.
const (
	fullBatch = 4 << 20
	fullIndex = 1 << 16
	// An item has 16 bits for its origin.
	fullOrigins = 1<<16 - 1
)

// An Inbox collects calls until the turn takes them: publishes in the open
// batch, everything else in order behind each other. It is the only state of a
// shard that its callers touch.
type Inbox struct {
	// Parking bounds the bytes that wait in batches.
	Parking int

	mu struct {
		sync.Mutex
		batches  []openBatch // the last one is open, those before it are full
		size     int         // bytes of their bodies
		spare    []Run
		requests []Request
		settles  []Settle
		ready    []func()
		sizeHint int
		itemHint int
	}
}

type openBatch struct {
	b    *Builder
	runs []Run
}

// Publish appends publishes to the open batch and reports whether more may
// come; see Shard.Publish. size is what waits now.
func (in *Inbox) Publish(ps []Publish) (size int, ok bool) {
	in.mu.Lock()
	for i := range ps {
		in.add(&ps[i])
	}
	size = in.mu.size
	ok = size < in.Parking
	in.mu.Unlock()
	return size, ok
}

// Tx appends a transaction to the open batch; see Shard.Tx.
func (in *Inbox) Tx(t *Tx, to *TxDone) (size int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	o := in.open()
	before := o.b.Size()
	o.b.AddTx(t)
	in.mu.size += o.b.Size() - before
	o.runs = append(o.runs, Run{To: to, First: 1, N: 1})
	return in.mu.size
}

// add appends one publish; in.mu is held.
func (in *Inbox) add(p *Publish) {
	o := in.open()
	before := o.b.Size()
	o.b.Add(p)
	in.mu.size += o.b.Size() - before
	if k := len(o.runs); k > 0 {
		if r := &o.runs[k-1]; r.To == p.To && (p.To == nil || r.First+uint64(r.N) == p.Tag) {
			r.N++
			return
		}
	}
	o.runs = append(o.runs, Run{To: p.To, First: p.Tag, N: 1})
}

// open returns the open batch; in.mu is held.
func (in *Inbox) open() *openBatch {
	n := len(in.mu.batches)
	if n == 0 || in.mu.batches[n-1].b.Size() >= fullBatch || in.mu.batches[n-1].b.Items() >= fullIndex || in.mu.batches[n-1].b.Origins() >= fullOrigins {
		in.mu.batches = append(in.mu.batches, openBatch{
			NewBuilder(max(4<<10, in.mu.sizeHint), max(16, in.mu.itemHint)), in.mu.spare,
		})
		in.mu.spare = nil
		n++
	}
	return &in.mu.batches[n-1]
}

// Ready calls f at once if publishes are taken, else when enough was taken.
func (in *Inbox) Ready(f func()) {
	in.mu.Lock()
	if in.mu.size >= in.Parking {
		in.mu.ready = append(in.mu.ready, f)
		f = nil
	}
	in.mu.Unlock()
	if f != nil {
		f()
	}
}

// Add appends a request.
func (in *Inbox) Add(r Request) {
	in.mu.Lock()
	in.mu.requests = append(in.mu.requests, r)
	in.mu.Unlock()
}

// Settle appends settles; without done they join those that wait already.
func (in *Inbox) Settle(ss []Settle, done func(error)) {
	in.mu.Lock()
	in.mu.settles = append(in.mu.settles, ss...)
	if done != nil {
		in.mu.requests = append(in.mu.requests, Request{Kind: ReqSettle, Done: done})
	}
	in.mu.Unlock()
}

// Pending returns how many batches wait, their bytes, and whether anything
// else waits.
func (in *Inbox) Pending() (batches, bytes int, requests bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.mu.batches), in.mu.size, len(in.mu.requests) > 0 || len(in.mu.settles) > 0
}

// TakeBatch takes the batch that has waited longest; nil if there is none.
// resume are to be called outside any lock. The runs given are used for what
// comes next.
func (in *Inbox) TakeBatch(spare []Run) (b *Builder, runs []Run, resume []func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if spare != nil {
		in.mu.spare = spare
	}
	if len(in.mu.batches) == 0 {
		return nil, nil, nil
	}
	b, runs = in.mu.batches[0].b, in.mu.batches[0].runs
	n := copy(in.mu.batches, in.mu.batches[1:])
	in.mu.batches[n] = openBatch{}
	in.mu.batches = in.mu.batches[:n]
	in.mu.size -= b.Size()
	// The next batch is likely to be as large as this one.
	in.mu.sizeHint = min(b.SealedSize(0)+b.SealedSize(0)/4, 2*DefaultParking)
	in.mu.itemHint = min(b.Items()+b.Items()/4, fullIndex)
	if in.mu.size < in.Parking {
		resume, in.mu.ready = in.mu.ready, nil
	}
	return b, runs, resume
}

// TakeRequests takes the settles and the requests that wait. Settles come
// first: a request was made after the settles that stand before it. The slices
// given are used for what comes next.
func (in *Inbox) TakeRequests(rs []Request, ss []Settle) ([]Request, []Settle) {
	in.mu.Lock()
	defer in.mu.Unlock()
	tr, ts := in.mu.requests, in.mu.settles
	in.mu.requests, in.mu.settles = rs, ss
	return tr, ts
}

// Confirm answers the publishes of a batch; refused are the numbers of those
// that a queue refused, ascending.
func Confirm(runs []Run, refused []uint32) {
	at := uint32(0) // of the first publish of the run
	for _, r := range runs {
		from := uint32(0)
		if r.To == nil {
			for len(refused) > 0 && refused[0] < at+r.N {
				refused = refused[1:]
			}
			from = r.N
		}
		for len(refused) > 0 && refused[0] < at+r.N {
			k := refused[0] - at
			if k > from {
				r.To.Confirmed(r.First+uint64(from), k-from, false)
			}
			r.To.Confirmed(r.First+uint64(k), 1, true)
			from = k + 1
			refused = refused[1:]
		}
		if from < r.N {
			r.To.Confirmed(r.First+uint64(from), r.N-from, false)
		}
		at += r.N
	}
}

// Unknown tells the publishers of a batch that its outcome can not be learnt.
func Unknown(runs []Run) {
	for _, r := range runs {
		if r.To != nil {
			r.To.Unknown(r.First, r.N)
		}
	}
}
