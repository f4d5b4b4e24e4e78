package queue

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// browseAll reads to the end, with limit messages a call; between the calls
// meanwhile may change the ledger.
func browseAll(t *testing.T, l *Ledger, k *disk, limit int, meanwhile func()) []Browsed {
	t.Helper()
	var b Browser
	var all, part []Browsed
	for {
		part, need, cold := b.Next(l, limit, 1<<20, part[:0])
		if len(part) == 0 && !cold {
			gone := b.Gone(l, nil)
			return slices.DeleteFunc(all, func(x Browsed) bool { return slices.Contains(gone, x.Seq) })
		}
		all = append(all, part...)
		if cold {
			if err := b.Feed(l, need, k.records[need]); err != nil {
				t.Fatal(err)
			}
		}
		meanwhile()
	}
}

// What is read of a queue at rest is every message once, lane by lane, by place.
func TestBrowserReadsAll(t *testing.T) {
	l, c := sample()
	k := write(t, c)
	cold, err := k.open(l.Settings())
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]*Ledger{"hot": l, "cold": cold} {
		t.Run(name, func(t *testing.T) {
			hot := from.HotPages()
			got := browseAll(t, from, k, 100, func() {})
			if n := l.Total().Messages; uint64(len(got)) != n+l.Outbox().Messages {
				t.Fatalf("%d messages, want %d and %d letters", len(got), n, l.Outbox().Messages)
			}
			for _, x := range got[l.Total().Messages:] {
				if want, _ := l.LetterRecord(x.Seq); x.Record != want || !x.Redelivered {
					t.Fatalf("letter %d is %+v, want %+v", x.Seq, x, want)
				}
			}
			got = got[:l.Total().Messages]
			for _, x := range got {
				if want, _ := l.Record(x.Seq); x.Record != want || x.Redelivered != l.Redelivered(x.Seq) {
					t.Fatalf("message %d is %+v, want %+v", x.Seq, x, want)
				}
			}
			place := func(x Browsed) uint64 {
				p := l.pageByID(PageOf(x.Seq))
				return p.order(int(x.Seq & slotMask))
			}
			if !slices.IsSortedFunc(got, func(a, b Browsed) int {
				return cmp.Or(-cmp.Compare(PriorityOf(a.Seq), PriorityOf(b.Seq)), cmp.Compare(place(a), place(b)), cmp.Compare(a.Seq, b.Seq))
			}) {
				t.Error("not in the order of delivery")
			}
			if from.HotPages() != hot {
				t.Error("reading warmed pages")
			}
		})
	}
}

// However the queue changes meanwhile, what was read without what is gone is the
// queue at the end.
func TestBrowserIsExactAtItsEnd(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := NewLedger(Settings{MaxPriority: 3})
		enqueue := func() { l.Enqueue(Record{Body: Body{Index: 1, Len: 1}, Size: 1, Priority: uint8(r.UintN(5))}) }
		for range 9000 {
			enqueue()
		}
		changes := 200
		got := browseAll(t, l, nil, 1+r.IntN(200), func() {
			if changes--; changes < 0 {
				return
			}
			for range r.IntN(40) {
				enqueue()
			}
			after := uint64(0)
			for range r.IntN(60) {
				seq, ok := l.Browse(after + r.Uint64N(300))
				if !ok {
					break
				}
				run := Run{Seq: seq, Span: 1, N: 1, Bytes: 1}
				switch r.IntN(4) {
				case 0, 1:
					l.Settle(run)
				case 2:
					l.Post(run, Rejected, 1)
				default:
					l.Return(run, RaiseAcquired|ToTail, 0)
				}
				after = seq
			}
		})
		seqs := make([]uint64, 0, len(got))
		for _, x := range got {
			seqs = append(seqs, x.Seq)
		}
		slices.Sort(seqs)
		var want []uint64
		for seq, ok := l.Browse(0); ok; seq, ok = l.Browse(seq) {
			want = append(want, seq)
		}
		for x, ok := l.NextLetter(0); ok; x, ok = l.NextLetter(x.Number + 1) {
			want = append(want, x.Seq)
		}
		slices.Sort(want)
		if !slices.Equal(seqs, want) {
			t.Fatalf("seed %d: %d messages read, %d in the queue", seed, len(seqs), len(want))
		}
	}
}

func TestBrowserFlagsWhatIsHeld(t *testing.T) {
	l := NewLedger(Settings{})
	d := NewDispatcher(l, Life{Term: 1})
	for range 3 {
		l.Enqueue(Record{Body: Body{Index: 1, Len: 1}, Size: 1})
	}
	l.SetHorizon(0, 100)
	if _, p := d.Get(SessionID{Number: 1}, 0, 0); p.Why != NotPaused {
		t.Fatal(p)
	}
	got := browseAll(t, l, nil, 10, func() {})
	if len(got) != 3 || !got[0].Redelivered || got[1].Redelivered {
		t.Fatalf("%+v", got)
	}
}

// A page whose records lack a live message is refused.
func TestBrowserRefusesDamage(t *testing.T) {
	l, c := sample()
	k := write(t, c)
	cold, err := k.open(l.Settings())
	if err != nil {
		t.Fatal(err)
	}
	var b Browser
	_, need, isCold := b.Next(cold, 1, 1, nil)
	if !isCold {
		t.Fatal("no page is cold")
	}
	if err := b.Feed(cold, need, appendUvarints(nil, recordsVersion, 7, 0)); err == nil {
		t.Error("a page without records was taken")
	}
	if err := b.Feed(cold, need, k.records[need][:9]); err == nil {
		t.Error("a page cut short was taken")
	}
}
