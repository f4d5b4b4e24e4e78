package shard

import "sync"

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
)

// DefaultParking is how many bytes of publishes may wait for a turn before the
// publishers are told to stop.
const DefaultParking = 1 << 20

// An Inbox collects calls until the turn takes them: publishes in the open
// batch, everything else in order behind each other. It is the only state of a
// shard that its callers touch.
type Inbox struct {
	// Parking bounds the bytes that wait in the open batch.
	Parking int

	mu struct {
		sync.Mutex
		batch    *Builder
		runs     []Run
		requests []Request
		settles  []Settle
		ready    []func()
		sizeHint int
		itemHint int
	}
}

// Publish appends publishes to the open batch and reports whether more may
// come; see Shard.Publish. size is what waits now.
func (in *Inbox) Publish(ps []Publish) (size int, ok bool) {
	in.mu.Lock()
	b := in.mu.batch
	if b == nil {
		b = NewBuilder(max(4<<10, in.mu.sizeHint), max(16, in.mu.itemHint))
		in.mu.batch = b
	}
	for i := range ps {
		p := &ps[i]
		b.Add(p)
		if n := len(in.mu.runs); n > 0 {
			if r := &in.mu.runs[n-1]; r.To == p.To && (p.To == nil || r.First+uint64(r.N) == p.Tag) {
				r.N++
				continue
			}
		}
		in.mu.runs = append(in.mu.runs, Run{To: p.To, First: p.Tag, N: 1})
	}
	size = b.Size()
	ok = size < in.Parking
	in.mu.Unlock()
	return size, ok
}

// Ready calls f at once if publishes are taken, else when the batch was taken.
func (in *Inbox) Ready(f func()) {
	in.mu.Lock()
	if in.mu.batch != nil && in.mu.batch.Size() >= in.Parking {
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

// Pending returns the bytes of the open batch and whether anything else waits.
func (in *Inbox) Pending() (bytes int, requests bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.batch != nil {
		bytes = in.mu.batch.Size() + 1
	}
	return bytes, len(in.mu.requests) > 0 || len(in.mu.settles) > 0
}

// TakeBatch takes the open batch; nil if there is none. resume are to be
// called outside any lock.
func (in *Inbox) TakeBatch(spare []Run) (b *Builder, runs []Run, resume []func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	b, runs, resume = in.mu.batch, in.mu.runs, in.mu.ready
	if b == nil {
		return nil, spare, resume
	}
	// The next batch is likely to be as large as this one.
	in.mu.sizeHint = min(b.SealedSize(0)+b.SealedSize(0)/4, 2*DefaultParking)
	in.mu.itemHint = b.Items() + b.Items()/4
	in.mu.batch, in.mu.runs, in.mu.ready = nil, spare, nil
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
