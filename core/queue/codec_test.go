package queue

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
)

// sample is a ledger with everything that the codec knows, and its cut.
func sample() (*Ledger, *Cut) {
	l := NewLedger(Settings{MaxPriority: 9, Retry: Retry{When: RetryFailed, Min: 10}})
	for i := range uint64(5000) {
		r := Record{Body: Body{Index: 1 + i/7, Off: uint32(i * 13), Len: uint32(i % 999)}, Size: uint32(i % 777), Priority: uint8(i % 2 * 4)}
		if i%5 == 0 {
			r.Expires, r.Flags = int64(i)*1000, Shared
		}
		l.Enqueue(r)
	}
	for seq := uint64(10); seq < 2000; seq += 3 {
		r, _ := l.Record(seq)
		run := AppendRun(nil, seq, r.Size)[0]
		if seq%4 == 0 {
			l.Post(run, Rejected, int64(seq))
			l.Take(Origin{Source{OutboxSpace, seq % 7}, seq, seq / 2}, int64(seq))
		} else if seq%2 == 0 {
			l.Settle(run)
		} else {
			l.Return(run, RaiseAcquired|RaiseFailed|Raise(seq%4/2)*ToTail, int64(seq))
		}
	}
	l.SetHorizon(4, 4<<laneShift|3000)
	l.Lost()
	c := new(Cut)
	l.Cut(7, c)
	return l, c
}

func write(t *testing.T, c *Cut) *disk {
	k := newDisk()
	if err := k.write(c, 0); err != nil {
		t.Fatal(err)
	}
	return k
}

// Everything that is known of a message survives.
func TestCodecKeepsEverything(t *testing.T) {
	l, c := sample()
	k := write(t, c)
	got, err := k.open(l.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != l.Digest() || got.Counters() != l.Counters() || got.Total() != l.Total() {
		t.Fatalf("restored %+v %+v, want %+v %+v", got.Total(), got.Counters(), l.Total(), l.Counters())
	}
	for id, v := range k.records {
		if err := got.Install(id, v); err != nil {
			t.Fatal(err)
		}
	}
	for seq, ok := l.Browse(0); ok; seq, ok = l.Browse(seq) {
		want, _ := l.Record(seq)
		if r, hot := got.Record(seq); !hot || r != want || got.Redelivered(seq) != l.Redelivered(seq) {
			t.Fatalf("record %d is %+v, want %+v", seq, r, want)
		}
	}
	for seq := uint64(10); seq < 2000; seq += 3 {
		want, letter := l.LetterRecord(seq)
		if r, hot := got.LetterRecord(seq); hot != letter || r != want {
			t.Fatalf("record of letter %d is %+v, want %+v", seq, r, want)
		}
	}
	for _, v := range k.headers {
		if round, err := ValueRound(v); round != 7 || err != nil {
			t.Fatalf("round %d, %v", round, err)
		}
	}
}

// A damaged or foreign value is an error with a reason, never a wrong queue.
func TestCodecRefusesDamage(t *testing.T) {
	l, c := sample()
	k := write(t, c)
	newer := append([]byte{99}, k.queue[1:]...)
	if _, err := OpenLedger(l.Settings(), newer); !errors.Is(err, ErrDamaged) {
		t.Errorf("unknown version: %v", err)
	}
	for n := range k.queue {
		if _, err := OpenLedger(l.Settings(), k.queue[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("queue record cut at %d: %v", n, err)
		}
	}
	delete(k.headers, 0)
	if _, err := k.open(l.Settings()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a page is missing: %v", err)
	}
	open, err := OpenLedger(l.Settings(), k.queue)
	if err != nil {
		t.Fatal(err)
	}
	id := PageOf(4 << laneShift)
	if err := open.OpenPage(id, k.headers[id]); err != nil {
		t.Fatal(err)
	}
	if err := open.OpenPage(id, k.headers[id]); !errors.Is(err, ErrDamaged) {
		t.Errorf("the same page twice: %v", err)
	}
	if err := open.OpenPage(77<<40, k.headers[id]); !errors.Is(err, ErrDamaged) {
		t.Errorf("a page of no lane: %v", err)
	}
	empty := appendUvarints(nil, recordsVersion, 7, 0)
	if err := open.Install(id, empty); !errors.Is(err, ErrDamaged) {
		t.Errorf("records are missing: %v", err)
	}
}

// The cut is encoded by another goroutine while its owner goes on. Run with the
// race detector. What is encoded long after is the same.
func TestCutIsIndependent(t *testing.T) {
	_, c := sample()
	want := write(t, c)

	l, c := sample()
	var wg sync.WaitGroup
	var meanwhile *disk
	wg.Go(func() {
		meanwhile = newDisk()
		if err := meanwhile.write(c, 0); err != nil {
			t.Error(err)
		}
	})
	churn(t, l)
	wg.Wait()
	for _, got := range []*disk{meanwhile, write(t, c)} {
		if !bytes.Equal(got.queue, want.queue) || len(got.headers) != len(want.headers) {
			t.Fatal("the cut changed while its owner went on")
		}
		for id, v := range want.headers {
			if !bytes.Equal(got.headers[id], v) || !bytes.Equal(got.records[id], want.records[id]) {
				t.Fatalf("page %d of the cut changed while its owner went on", id)
			}
		}
	}
}

// churn returns much, then drains the queue and fills it again.
func churn(t *testing.T, l *Ledger) {
	d := NewDispatcher(l, Life{Term: 1})
	if err := d.Add(ConsumerSpec{ID: 1}); err != nil {
		t.Fatal(err)
	}
	for turn := range 100 {
		for range 200 {
			l.Enqueue(Record{Body: Body{Index: 9999}, Size: 1})
		}
		for p, seq, ok := d.WantHorizon(); ok; p, seq, ok = d.WantHorizon() {
			l.SetHorizon(p, seq)
		}
		out, _ := d.Dispatch(0, 600, nil)
		for i, x := range out {
			run := AppendRun(nil, x.Seq, x.Record.Size)[0]
			if i%9 == 0 && turn < 20 {
				d.Return(x.Seq, x.Holding, RaiseAcquired)
				l.Return(run, RaiseAcquired, 0)
			} else {
				d.Settle(x.Seq, x.Holding)
				l.Settle(run)
			}
		}
	}
}

// A page that went after a cut which never became durable leaves nothing on
// disk: the next cut must not look for what was never written.
func TestAbortAfterPageWent(t *testing.T) {
	for _, saved := range []bool{false, true} {
		r := newReplica(Settings{}, PageSize-2)
		run := Run{Seq: PageSize - 2, Span: 2, N: 2}
		r.apply(command{kind: "enqueue"})
		if saved {
			for range 2 {
				if err := r.checkpoint(Settings{}, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.apply(command{kind: "enqueue", record: Record{Body: Body{Off: 1}}})
		var c Cut
		r.l.Cut(2, &c)
		if n := r.l.Settle(run); n != 2 {
			t.Fatalf("settled %d", n)
		}
		r.l.Abort(&c)
		r.l.Cut(3, &c)
		if gone := len(c.Gone) == 1; gone != saved || len(c.Pages) != 0 {
			t.Fatalf("saved %v: gone %v, pages %v", saved, c.Gone, c.Pages)
		}
		if err := r.disk.write(&c, 3); err != nil || len(r.disk.bodies) != 0 {
			t.Fatalf("saved %v: %v, bodies %v", saved, err, r.disk.bodies)
		}
	}
}

// Pages are found whatever is missing between them.
func TestPagesWithGaps(t *testing.T) {
	var ln lane
	for _, id := range []uint64{3, 4, 7, 8, 9, 20, 22, 23} {
		ln.pages = append(ln.pages, &page{id: id})
	}
	for len(ln.pages) > 0 {
		for id := range uint64(26) {
			want := slices.IndexFunc(ln.pages, func(p *page) bool { return p.id >= id })
			if want < 0 {
				want = len(ln.pages)
			}
			if got := ln.find(id); got != want {
				t.Fatalf("page %d of %d is at %d, want %d", id, len(ln.pages), got, want)
			}
		}
		ln.drop(ln.pages[len(ln.pages)/2])
	}
}

func FuzzQueueRecord(f *testing.F) {
	_, c := sample()
	f.Add(c.AppendQueue(nil))
	f.Fuzz(func(t *testing.T, value []byte) {
		l, err := OpenLedger(Settings{}, value)
		if err != nil {
			return
		}
		again := Cut{}
		l.Cut(1, &again)
		first := again.AppendQueue(nil)
		l, err = OpenLedger(Settings{}, first)
		if err != nil {
			t.Fatal(err)
		}
		l.Cut(1, &again)
		if !bytes.Equal(first, again.AppendQueue(nil)) {
			t.Fatal("not stable")
		}
	})
}

func FuzzHeader(f *testing.F) {
	_, c := sample()
	for i := range c.Pages {
		f.Add(c.Pages[i].ID, c.Pages[i].AppendHeader(nil))
	}
	f.Fuzz(func(t *testing.T, id uint64, value []byte) {
		id &= ^uint64(0) >> pageShift
		p, err := decodeHeader(id, value)
		if err != nil {
			return
		}
		pc := p.cut(1)
		first := pc.AppendHeader(nil)
		if p, err = decodeHeader(id, first); err != nil {
			t.Fatal(err)
		}
		pc = p.cut(1)
		if !bytes.Equal(first, pc.AppendHeader(nil)) {
			t.Fatal("not stable")
		}
	})
}

func FuzzRecords(f *testing.F) {
	_, c := sample()
	for i := range c.Pages {
		v, err := c.Pages[i].AppendRecords(nil, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v[:min(len(v), 300)])
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		n, last := 0, -1
		err := decodeRecords(value, func(slot int, _ record) error {
			if slot <= last || slot >= PageSize {
				t.Fatalf("slot %d after %d", slot, last)
			}
			n, last = n+1, slot
			return nil
		})
		if err == nil && n > len(value)/8 {
			t.Fatalf("%d records from %d bytes", n, len(value))
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
}
