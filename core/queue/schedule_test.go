package queue

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A waiting message as the model knows it.
type waiting struct {
	seq   uint64
	due   int64
	named bool // for the log
}

// scheduleStart is near the end of a page: the model has several.
const scheduleStart = PageSize - 20

// TestScheduleModel holds a schedule against a list: what is due, and in which
// order, over cold pages, restarts, decisions that are lost, and purges.
func TestScheduleModel(t *testing.T) {
	set := Settings{Schedule: true}
	rapid.Check(t, func(t *rapid.T) {
		r := newReplica(set, scheduleStart)
		term, now := uint64(1), int64(1000)
		d := NewDispatcher(r.l, Life{Term: term})
		var log, queue []command
		var ms []*waiting
		letters := uint64(0)
		commit := func(c command) (uint64, uint32) {
			log = append(log, c)
			return r.apply(c)
		}
		forget := func(run Run) {
			ms = slices.DeleteFunc(ms, func(m *waiting) bool { return m.seq >= run.Seq && m.seq < run.Seq+uint64(run.Span) && m.named })
		}
		lead := func() {
			queue = nil
			for _, m := range ms {
				m.named = false
			}
			term++
			d = NewDispatcher(r.l, Life{Term: term})
		}
		// due asks for what is due, and wants what a sorted list would give.
		due := func(max int) {
			var want []*waiting
			for _, m := range ms {
				if !m.named && m.due <= now {
					want = append(want, m)
				}
			}
			slices.SortFunc(want, func(a, b *waiting) int { return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.seq, b.seq)) })
			for {
				runs, p := d.Due(now, max, nil)
				for _, run := range runs {
					for seq := run.Seq; seq < run.Seq+uint64(run.Span); seq++ {
						if len(want) == 0 || want[0].seq != seq {
							t.Fatalf("%d is named, due are %+v", seq, want)
						}
						want[0].named = true
						want = want[1:]
						max--
					}
					queue = append(queue, command{kind: "post", run: run, reason: Due, at: now})
				}
				if p.Why == NeedPage {
					if err := r.install(p.Page); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if max > 0 && len(want) > 0 {
					t.Fatalf("%v, and %+v is due at %d", p, want[0], now)
				}
				return
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enqueue": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "n") {
					at := now + int64(rapid.IntRange(0, 60).Draw(t, "delay"))
					size := uint32(rapid.IntRange(0, 3).Draw(t, "size"))
					seq, _ := commit(command{kind: "enqueue", record: Record{Body: Body{Index: uint64(len(log) + 1)}, Expires: at, Size: size}})
					ms = append(ms, &waiting{seq: seq, due: at})
				}
			},
			"time": func(t *rapid.T) { now += int64(rapid.IntRange(1, 40).Draw(t, "ms")) },
			"due":  func(t *rapid.T) { due(rapid.IntRange(1, 40).Draw(t, "max")) },
			"log": func(*rapid.T) {
				for _, c := range queue {
					if _, n := commit(c); n != c.run.N {
						t.Fatalf("%s of %d changed %d", c.kind, c.run.N, n)
					}
					forget(c.run)
					if c.kind == "post" {
						letters += uint64(c.run.N)
					}
				}
				queue = nil
			},
			"lead": func(*rapid.T) { lead() },
			"purge": func(*rapid.T) {
				for {
					runs, p := d.Purge(nil)
					for _, run := range runs {
						queue = append(queue, command{kind: "remove", run: run, reason: Purged})
						for _, m := range ms {
							m.named = m.named || m.seq >= run.Seq && m.seq < run.Seq+uint64(run.Span)
						}
					}
					if p.Why != NeedPage {
						return
					}
					if err := r.install(p.Page); err != nil {
						t.Fatal(err)
					}
				}
			},
			"left": func(t *rapid.T) {
				x, ok := r.l.NextLetter(0)
				if !ok {
					t.Skip("no letter")
				}
				if rec, hot := r.l.LetterRecord(x.Seq); hot {
					commit(command{kind: "left", run: Run{Seq: x.Number, Span: 1, N: 1, Bytes: uint64(rec.Size)}})
				}
			},
			"checkpoint": func(t *rapid.T) {
				if err := r.checkpoint(set, rapid.IntRange(0, 3).Draw(t, "abort") == 0); err != nil {
					t.Fatal(err)
				}
			},
			"evict": func(t *rapid.T) {
				for p := range r.l.Pages() {
					r.l.Evict(p.ID)
				}
			},
			"restart": func(*rapid.T) {
				if err := r.crash(set, log); err != nil {
					t.Fatal(err)
				}
				lead()
			},
			"": func(t *rapid.T) {
				named, least := 0, int64(0)
				for _, m := range ms {
					if m.named {
						named++
					} else if least == 0 || m.due < least {
						least = m.due
					}
				}
				if n := d.Ready().Messages; n != uint64(len(ms)-named) {
					t.Fatalf("%d are ready, want %d", n, len(ms)-named)
				}
				if at := d.NextDue(); least != 0 && (at > least || at == 0) {
					t.Fatalf("nothing is due before %d, it says, and something is at %d", at, least)
				}
				if c := r.l.Counters(); c.Due != letters {
					t.Fatalf("%d were due, want %d", c.Due, letters)
				}
			},
		})
	})
}

// BenchmarkSchedule is a message's whole life in a schedule, but for the log.
func BenchmarkSchedule(b *testing.B) {
	for _, backlog := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			l := NewLedger(Settings{Schedule: true, Memory: true})
			d := NewDispatcher(l, Life{Term: 1})
			for i := range backlog {
				l.Enqueue(Record{Expires: 1 << 50, Size: 100, Body: Body{Index: uint64(i)}})
			}
			var runs []Run
			now, number := int64(0), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				now++
				l.Enqueue(Record{Expires: now + 1000 - now%7*100, Size: 100})
				runs, _ = d.Due(now, 16, runs[:0])
				for _, r := range runs {
					l.Post(r, Due, now)
					l.Left(Run{Seq: number + 1, Span: r.N, N: r.N, Bytes: r.Bytes})
					number += uint64(r.N)
				}
			}
		})
	}
}
