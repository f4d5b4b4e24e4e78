package queue

import (
	"fmt"
	"maps"
	"slices"
)

// A command is one logged command of the tests.
type command struct {
	kind    string
	record  Record
	run     Run
	raise   Raise
	reason  Reason
	lane    uint8
	horizon uint64
	at      int64
	origin  Origin
}

func (c *command) apply(l *Ledger) (seq uint64, n uint32) {
	switch c.kind {
	case "enqueue":
		seq = l.Enqueue(c.record)
	case "settle":
		n = l.Settle(c.run)
	case "remove":
		n = l.Remove(c.run, c.reason)
	case "post":
		n = l.Post(c.run, c.reason, c.at)
	case "left":
		n = l.Left(c.run)
	case "take":
		if l.Take(c.origin, c.at) {
			n = 1
		}
	case "return":
		n = l.Return(c.run, c.raise, 0)
	case "horizon":
		l.SetHorizon(c.lane, c.horizon)
	case "lost":
		l.Lost()
	default:
		panic(c.kind)
	}
	return seq, n
}

// A disk holds what a checkpointer wrote: one queue and the bodies that were
// copied out of the log.
type disk struct {
	queue   []byte
	headers map[uint64][]byte
	records map[uint64][]byte
	bodies  map[Body]uint64
	applied int // the log position of the checkpoint
}

func newDisk() *disk {
	return &disk{headers: map[uint64][]byte{}, records: map[uint64][]byte{}, bodies: map[Body]uint64{}}
}

// write does what a checkpointer does with a cut.
func (k *disk) write(c *Cut, applied int) error {
	var born, dead []BodyRef
	var err error
	for i := range c.Gone {
		if dead, err = c.Gone[i].AppendDead(dead, k.records[c.Gone[i].ID]); err != nil {
			return err
		}
	}
	type value struct{ header, records []byte }
	values := map[uint64]value{}
	for i := range c.Pages {
		p := &c.Pages[i]
		var stored []byte
		if p.NeedsStored() {
			if stored = k.records[p.ID]; stored == nil {
				return fmt.Errorf("page %d needs a records value that is not there", p.ID)
			}
		}
		born = p.AppendNew(born)
		if dead, err = p.AppendDead(dead, stored); err != nil {
			return err
		}
		v := value{header: p.AppendHeader(nil)}
		if p.HasRecords() {
			if v.records, err = p.AppendRecords(nil, stored); err != nil {
				return err
			}
		}
		values[p.ID] = v
	}
	for _, g := range c.Gone {
		delete(k.headers, g.ID)
		delete(k.records, g.ID)
	}
	for id, v := range values {
		k.headers[id] = v.header
		if v.records != nil {
			k.records[id] = v.records
		}
	}
	for _, b := range dead {
		if k.bodies[b.Body] != b.Seq {
			return fmt.Errorf("body %+v of %d dies but was not stored", b.Body, b.Seq)
		}
		delete(k.bodies, b.Body)
	}
	for _, b := range born {
		if _, ok := k.bodies[b.Body]; ok {
			return fmt.Errorf("body %+v of %d is stored twice", b.Body, b.Seq)
		}
		k.bodies[b.Body] = b.Seq
	}
	k.queue = c.AppendQueue(k.queue[:0])
	k.applied = applied
	return nil
}

// open restores the ledger with cold records.
func (k *disk) open(s Settings) (*Ledger, error) {
	l, err := OpenLedger(s, k.queue)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(k.headers)) {
		if err := l.OpenPage(id, k.headers[id]); err != nil {
			return nil, err
		}
	}
	return l, l.Opened()
}

// A replica applies a log, with its own checkpoints and its own cold pages.
type replica struct {
	l     *Ledger
	disk  *disk
	round uint64
	pos   int
	cut   *Cut // begun
	cutAt int
}

func newReplica(s Settings, startAt uint64) *replica {
	r := &replica{disk: newDisk()}
	start := Cut{state: queueState{lanes: []laneState{{next: startAt}}, tail: make([]byte, 4)}}
	r.disk.queue = start.AppendQueue(nil)
	if err := r.crash(s, nil); err != nil {
		panic(err)
	}
	return r
}

func (r *replica) apply(c command) (uint64, uint32) {
	r.pos++
	return c.apply(r.l)
}

// checkpoint begins a cut, or ends the one that was begun: what happened in
// between must not show in it.
func (r *replica) checkpoint(s Settings, abort bool) error {
	if r.cut == nil {
		r.round++
		r.cut, r.cutAt = new(Cut), r.pos
		r.l.Cut(r.round, r.cut)
		return nil
	}
	c := r.cut
	r.cut = nil
	if abort {
		r.l.Abort(c)
		return nil
	}
	if err := r.disk.write(c, r.cutAt); err != nil {
		return err
	}
	r.l.Saved(c)
	return r.checkDisk(s)
}

// checkDisk wants exactly the bodies of live messages and of letters on disk.
func (r *replica) checkDisk(s Settings) error {
	l, err := r.disk.open(s)
	if err != nil {
		return err
	}
	if n := uint64(len(r.disk.bodies)); n != l.Total().Messages+l.Outbox().Messages {
		return fmt.Errorf("%d bodies are stored for %d messages and %d letters", n, l.Total().Messages, l.Outbox().Messages)
	}
	for id, v := range r.disk.records {
		if err := l.Install(id, v); err != nil {
			return err
		}
		if round, err := ValueRound(v); err != nil || round == 0 || round > r.round {
			return fmt.Errorf("page %d is of round %d: %w", id, round, err)
		}
	}
	for b, seq := range r.disk.bodies {
		rec, hot := l.Record(seq)
		if !hot {
			rec, hot = l.LetterRecord(seq)
		}
		if !hot || rec.Body != b {
			return fmt.Errorf("body %+v is stored for %d, which is %+v (live %v)", b, seq, rec, l.Live(seq))
		}
	}
	return nil
}

// crash loses memory and replays the log from the last checkpoint.
func (r *replica) crash(s Settings, log []command) (err error) {
	r.cut = nil
	if r.l, err = r.disk.open(s); err != nil {
		return err
	}
	for r.pos = r.disk.applied; r.pos < len(log); {
		r.apply(log[r.pos])
	}
	return nil
}

func (r *replica) install(page uint64) error {
	v, ok := r.disk.records[page]
	if !ok {
		return fmt.Errorf("page %d is cold and has no records value", page)
	}
	return r.l.Install(page, v)
}
