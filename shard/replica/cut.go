package replica

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
)

// Group implements checkpoint.Source.
func (s *Shard) Group() uint64 { return s.o.Group }

// Progress implements checkpoint.Source.
func (s *Shard) Progress() (applied, cut uint64, dirty int) {
	return s.progress.applied.Load(), s.progress.cut.Load(), int(s.progress.dirty.Load())
}

// Cut implements checkpoint.Source.
func (s *Shard) Cut(ready func(checkpoint.Cut)) {
	s.Run(func() { s.wantCut = func(c *cut) { ready(c) } })
}

// CutNow makes a cut at once; it is to be called inside a turn.
func (s *Shard) CutNow() checkpoint.Cut { return s.cut() }

// Run calls f in a turn, whether the shard leads or not.
func (s *Shard) Run(f func()) {
	s.addControl(f)
	s.group.Wake()
}

// LogTime has the leader log the time, with nothing else if nothing else is due.
// Who follows and began anew knows the stamps that it replayed, and not how long ago
// they were logged: were it to lead, its wall clock would say what has expired.
func (s *Shard) LogTime() {
	s.Run(func() { s.stampDue = s.leading })
}

// runHere is Run for goroutines that may lend themselves to a turn.
func (s *Shard) runHere(f func()) {
	s.addControl(f)
	s.group.TryTurn()
}

func (s *Shard) addControl(f func()) {
	s.control.Lock()
	s.controls = append(s.controls, f)
	s.control.Unlock()
}

func (s *Shard) runControls() {
	s.control.Lock()
	fs := s.controls
	s.controls = nil
	s.control.Unlock()
	for _, f := range fs {
		f()
	}
}

// A cut is the state of the shard at one index, sharing memory with it.
type cut struct {
	s       *Shard
	slot    uint64
	index   uint64
	term    uint64
	stamp   int64
	round   uint64
	conf    []byte
	streams []streamCut
	served  []queue.Incarnation
	queues  []*queueCut

	ents []storage.Entry // read ahead by Bodies
	void bool            // a snapshot took the place of what was cut
}

type streamCut struct {
	node uint64
	stream
	exceptions []exception
}

type exception struct {
	number  uint64
	refused []uint32
}

type queueCut struct {
	id       uint64
	revision uint64
	settings shard.Settings
	grant    shard.Grant
	ending   uint64 // 1 if it is closed, 2 if it turned something away since
	dropped  bool   // all its keys go
	ledger   *queue.Ledger
	cut      queue.Cut
}

// cut makes a cut, in a turn. Its cost is proportional to what changed.
func (s *Shard) cut() *cut {
	s.round++
	s.cutting++
	c := &cut{s: s, slot: s.slot, index: s.applied, term: s.atTerm, stamp: s.stamp, round: s.round, conf: s.group.AppendConf(nil)}
	for node, st := range s.streams {
		c.streams = append(c.streams, st.cut(node))
	}
	slices.SortFunc(c.streams, func(a, b streamCut) int { return cmp.Compare(a.node, b.node) })
	c.served = s.servedList()
	for _, q := range s.dropped {
		c.add(q, true)
	}
	s.dropped = nil
	for _, q := range s.dirty {
		if q.Dirty = false; s.e.Queue(q.ID) == q {
			c.add(q, false)
		}
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	s.progress.dirty.Store(0)
	return c
}

func (c *cut) add(q *engine.Queue, dropped bool) {
	qc := &queueCut{id: q.ID, revision: q.Revision, settings: q.Settings, grant: q.Grant, ending: ending(q), dropped: dropped, ledger: q.Ledger}
	q.Ledger.Cut(c.round, &qc.cut)
	c.queues = append(c.queues, qc)
}

// ending is how far the end of a queue is, as it is stored.
func ending(q *engine.Queue) uint64 {
	switch {
	case q.Turned:
		return 2
	case q.Closed:
		return 1
	}
	return 0
}

// cut copies a stream; its exceptions are sorted.
func (st *stream) cut(node uint64) streamCut {
	sc := streamCut{node: node, stream: *st}
	sc.stream.exceptions = nil
	for n, r := range st.exceptions {
		sc.exceptions = append(sc.exceptions, exception{n, slices.Clone(r)})
	}
	slices.SortFunc(sc.exceptions, func(a, b exception) int { return cmp.Compare(a.number, b.number) })
	return sc
}

// Index implements checkpoint.Cut.
func (c *cut) Index() uint64 { return c.index }

// batchBytes bounds the batches in which bodies are written.
const batchBytes = 4 << 20

// Bodies implements checkpoint.Cut: it copies the bodies of live messages that
// no earlier cut copied out of the log.
func (c *cut) Bodies(newBatch func() storage.Batch) error {
	var refs []queue.BodyRef
	for _, qc := range c.queues {
		for i := range qc.cut.Pages {
			refs = qc.cut.Pages[i].AppendNew(refs)
		}
	}
	sortRefs(refs)
	b := newBatch()
	var k, v []byte
	err := eachBody(refs, func(ref queue.BodyRef, n int) error {
		blob, err := c.read(ref.Body)
		if err != nil {
			if c.void = c.overtaken(); c.void {
				return nil
			}
			return err
		}
		v = appendBody(v[:0], blob)
		k = bodyKey(k[:0], c.slot, keyBody, ref.Body.Index, ref.Body.Off)
		b.Set(k, v)
		if ref.Flags&queue.Shared != 0 {
			k = bodyKey(k[:0], c.slot, keyShared, ref.Body.Index, ref.Body.Off)
			b.Set(k, appendCount(nil, uint32(n)))
		}
		if b.Len() < batchBytes {
			return nil
		}
		if err := b.Commit(); err != nil {
			return err
		}
		b = newBatch()
		return nil
	})
	if err != nil {
		return err
	}
	return b.Commit()
}

func sortRefs(refs []queue.BodyRef) {
	slices.SortFunc(refs, func(a, b queue.BodyRef) int {
		if d := cmp.Compare(a.Body.Index, b.Body.Index); d != 0 {
			return d
		}
		return cmp.Compare(a.Body.Off, b.Body.Off)
	})
}

// eachBody calls f once for each body of sorted refs, with how many refer to it.
func eachBody(refs []queue.BodyRef, f func(ref queue.BodyRef, n int) error) error {
	for len(refs) > 0 {
		n := 1
		for n < len(refs) && refs[n].Body == refs[0].Body {
			n++
		}
		if err := f(refs[0], n); err != nil {
			return err
		}
		refs = refs[n:]
	}
	return nil
}

// read reads a body from the log, an entry at a time: refs come in its order.
func (c *cut) read(b queue.Body) ([]byte, error) {
	for len(c.ents) > 0 && c.ents[0].Index < b.Index {
		c.ents = c.ents[1:]
	}
	if len(c.ents) == 0 || c.ents[0].Index != b.Index {
		var err error
		if c.ents, err = c.s.o.Log.Entries(nil, c.s.o.Group, b.Index, c.index+1, readAhead); err != nil {
			return nil, fmt.Errorf("read entry %d: %w", b.Index, err)
		}
		if len(c.ents) == 0 || c.ents[0].Index != b.Index {
			return nil, fmt.Errorf("%w: the log does not return entry %d", storage.ErrUnavailable, b.Index)
		}
	}
	data := c.ents[0].Data
	if uint64(b.Off)+uint64(b.Len) > uint64(len(data)) {
		return nil, fmt.Errorf("%w: body beyond its entry", storage.ErrDamaged)
	}
	return data[b.Off : b.Off+b.Len], nil
}

// State implements checkpoint.Cut.
func (c *cut) State(b storage.Batch) error {
	c.ents = nil
	if c.void {
		return nil
	}
	g := c.slot
	var k, v []byte
	var dead []queue.BodyRef
	for _, qc := range c.queues {
		var err error
		if dead, err = c.pages(b, qc, dead); err != nil {
			return fmt.Errorf("queue %d: %w", qc.id, err)
		}
		if qc.dropped {
			b.Delete(key1(nil, g, keyQueue, qc.id))
			continue
		}
		k = key1(k[:0], g, keyQueue, qc.id)
		set := shard.AppendSettings(nil, qc.settings)
		v = binary.AppendUvarint(v[:0], qc.revision)
		for _, n := range [...]uint64{qc.ending, qc.grant.Node, qc.grant.Incarnation, qc.grant.Consumer, uint64(len(set))} {
			v = binary.AppendUvarint(v, n)
		}
		v = qc.cut.AppendQueue(append(v, set...))
		b.Set(k, v)
	}
	if err := c.deleteBodies(b, dead); err != nil {
		return err
	}
	for i := range c.streams {
		st := &c.streams[i]
		b.Set(key1(k[:0], g, keyStream, st.node), st.append(nil))
	}
	b.Set(key(k[:0], g, keyServed), appendServed(nil, c.served))
	v = binary.AppendUvarint(v[:0], c.index)
	for _, n := range [...]uint64{c.term, uint64(c.stamp), c.round} {
		v = binary.AppendUvarint(v, n)
	}
	b.Set(key(k[:0], g, keyApplied), append(v, c.conf...))
	return nil
}

// pages writes the pages of a queue that changed, and lists the bodies of
// messages that died since an earlier cut copied them.
func (c *cut) pages(b storage.Batch, qc *queueCut, dead []queue.BodyRef) ([]queue.BodyRef, error) {
	g := c.slot
	records := func(id uint64) ([]byte, error) {
		return c.s.o.State.Get(nil, key2(nil, g, keyRecords, qc.id, id))
	}
	type pageValue struct {
		id              uint64
		header, records []byte
	}
	var values []pageValue
	for i := range qc.cut.Gone {
		p := &qc.cut.Gone[i]
		stored, err := records(p.ID)
		if err != nil {
			return nil, err
		}
		if dead, err = p.AppendDead(dead, stored); err != nil {
			return nil, err
		}
	}
	for i := range qc.cut.Pages {
		p := &qc.cut.Pages[i]
		var stored []byte
		var err error
		if p.NeedsStored() {
			if stored, err = records(p.ID); err != nil {
				return nil, err
			}
		}
		if dead, err = p.AppendDead(dead, stored); err != nil {
			return nil, err
		}
		pv := pageValue{id: p.ID, header: p.AppendHeader(nil)}
		if p.HasRecords() {
			if pv.records, err = p.AppendRecords(nil, stored); err != nil {
				return nil, err
			}
		}
		values = append(values, pv)
	}
	for i := range qc.cut.Gone {
		b.Delete(key2(nil, g, keyPage, qc.id, qc.cut.Gone[i].ID))
		b.Delete(key2(nil, g, keyRecords, qc.id, qc.cut.Gone[i].ID))
	}
	for _, pv := range values {
		b.Set(key2(nil, g, keyPage, qc.id, pv.id), pv.header)
		if pv.records != nil {
			b.Set(key2(nil, g, keyRecords, qc.id, pv.id), pv.records)
		}
	}
	return dead, nil
}

// deleteBodies deletes the bodies nobody refers to any more, in the batch that
// says that their messages are gone.
func (c *cut) deleteBodies(b storage.Batch, dead []queue.BodyRef) error {
	g := c.slot
	sortRefs(dead)
	var k []byte
	return eachBody(dead, func(ref queue.BodyRef, n int) error {
		if ref.Flags&queue.Shared != 0 {
			k = bodyKey(k[:0], g, keyShared, ref.Body.Index, ref.Body.Off)
			v, err := c.s.o.State.Get(nil, k)
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			if len(v) == 4 {
				if left := binary.BigEndian.Uint32(v); left > uint32(n) {
					b.Set(k, appendCount(nil, left-uint32(n)))
					return nil
				}
			}
			b.Delete(k)
		}
		b.Delete(bodyKey(k[:0], g, keyBody, ref.Body.Index, ref.Body.Off))
		return nil
	})
}

// Durable implements checkpoint.Cut.
func (c *cut) Durable() {
	s := c.s
	s.Run(func() {
		if s.cutEnded(); c.void || c.slot != s.slot {
			return
		}
		for _, qc := range c.queues {
			qc.ledger.Saved(&qc.cut)
		}
		s.evict(c)
		s.progress.cut.Store(c.index)
		s.group.Compact(c.index)
	})
}

// evict lets records of clean pages go while more than HotPages are in memory:
// first those between the head of a queue, which is consumed next, and its
// tail; then, of queues that nobody consumes, all of them.
func (s *Shard) evict(c *cut) {
	hot := 0
	for _, q := range s.e.All() {
		hot += q.Ledger.HotPages()
	}
	for _, qc := range c.queues {
		if hot <= s.o.HotPages {
			return
		}
		hot -= evictPages(qc.ledger, 2, 2, hot-s.o.HotPages)
	}
	if hot <= s.o.HotPages {
		return
	}
	for _, q := range s.e.Queues() {
		if hot <= s.o.HotPages {
			return
		}
		if q.Disp == nil || q.Disp.Consumers() == 0 {
			hot -= evictPages(q.Ledger, 0, 0, hot-s.o.HotPages)
		} else {
			hot -= evictPages(q.Ledger, 2, 1, hot-s.o.HotPages)
		}
	}
}

// evictPages evicts up to limit clean pages of a ledger, but none of the first
// head and the last tail hot ones.
func evictPages(l *queue.Ledger, head, tail, limit int) (n int) {
	last := l.HotPages() - tail
	if last <= head {
		return 0
	}
	i := 0
	for p := range l.Pages() {
		if p.Hot {
			if i++; i <= head || i > last {
				continue
			}
		}
		if n == limit {
			break
		}
		if p.Clean && l.Evict(p.ID) {
			n++
		}
	}
	return n
}

const streamVersion = 1

func (st *streamCut) append(dst []byte) []byte {
	dst = append(dst, streamVersion)
	for _, v := range [...]uint64{st.ended, st.inc, st.last, st.floor, uint64(len(st.exceptions))} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, e := range st.exceptions {
		dst = binary.AppendUvarint(dst, e.number)
		dst = binary.AppendUvarint(dst, uint64(len(e.refused)))
		for _, r := range e.refused {
			dst = binary.AppendUvarint(dst, uint64(r))
		}
	}
	return dst
}
