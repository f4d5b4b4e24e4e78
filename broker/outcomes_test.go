package broker

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/internal/racing"
)

// outcomes is a sink that notes each tag's outcome.
type outcomes struct {
	quietSink
	t    *rapid.T
	told map[uint64]string
	runs int
}

func (o *outcomes) note(first uint64, n uint32, what string) {
	o.runs++
	for i := range uint64(n) {
		if o.told[first+i] != "" {
			o.t.Fatalf("tag %d is told twice", first+i)
		}
		o.told[first+i] = what
	}
}

func (o *outcomes) Confirmed(first uint64, n uint32, refused bool) {
	if refused {
		o.note(first, n, "refused")
	} else {
		o.note(first, n, "confirmed")
	}
}
func (o *outcomes) Unknown(first uint64, n uint32) { o.note(first, n, "unknown") }

// TestMultiAgainstModel lets several shards answer runs of publishes, in their
// own order each: a tag is told once, when the last shard has answered, with
// the worst of the answers.
func TestMultiAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &outcomes{t: t, told: map[uint64]string{}}
		p := &Publisher{sink: o}
		p.multi.p = p
		shards := rapid.IntRange(2, 4).Draw(t, "shards")
		type publish struct {
			tag   uint64
			left  int
			worst string
		}
		var all []publish
		answered := make([]int, shards) // up to which number each shard has answered
		tag := uint64(0)
		check := func() {
			for _, x := range all {
				want := ""
				if x.left == 0 {
					want = x.worst
				}
				if o.told[x.tag] != want {
					t.Fatalf("tag %d is %q, want %q", x.tag, o.told[x.tag], want)
				}
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "publish") {
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					tag += rapid.SampledFrom([]uint64{1, 1, 1, 2}).Draw(t, "gap")
					all = append(all, publish{tag: tag, left: shards, worst: "confirmed"})
					if number := p.multi.expect(part{left: shards, tag: tag}); number != uint64(len(all)-1) {
						t.Fatalf("number %d, want %d", number, len(all)-1)
					}
				}
				continue
			}
			s := rapid.IntRange(0, shards-1).Draw(t, "shard")
			n := min(rapid.IntRange(1, 6).Draw(t, "run"), len(all)-answered[s])
			if n == 0 {
				continue
			}
			what := rapid.SampledFrom([]string{"confirmed", "confirmed", "refused", "unknown"}).Draw(t, "what")
			for i := answered[s]; i < answered[s]+n; i++ {
				all[i].left--
				worse := []string{"confirmed", "refused", "unknown"}
				if slices.Index(worse, what) > slices.Index(worse, all[i].worst) {
					all[i].worst = what
				}
			}
			from := uint64(answered[s])
			answered[s] += n
			if what == "unknown" {
				p.multi.Unknown(from, uint32(n))
			} else {
				p.multi.Confirmed(from, uint32(n), what == "refused")
			}
			check()
		}
		whole := 0
		for _, x := range all {
			if x.left == 0 {
				whole++
			}
		}
		if got := int(p.after.over.Load()); got != whole {
			t.Fatalf("%d are over, want %d", got, whole)
		}
		if waiting := len(all) - slices.Min(answered); len(p.multi.mu.parts)-p.multi.mu.head > waiting {
			t.Fatalf("%d parts for %d publishes that wait", len(p.multi.mu.parts), waiting)
		}
	})
}

// TestMultiRuns: a run of answers is told as a run, and what is over leaves no
// more memory than was agreed.
func TestMultiRuns(t *testing.T) {
	o := &outcomes{told: map[uint64]string{}}
	p := &Publisher{sink: o}
	p.multi.p = p
	n := uint32(racing.Less(100_000))
	for tag := range uint64(n) {
		p.multi.expect(part{left: 2, tag: tag + 1})
	}
	p.multi.Confirmed(0, n, false)
	p.multi.Confirmed(0, n, false)
	if o.runs != 1 || len(o.told) != int(n) || cap(p.multi.mu.parts) > keptParts {
		t.Errorf("%d tags in %d runs, room for %d parts", len(o.told), o.runs, cap(p.multi.mu.parts))
	}
}

// TestSettleUnasked: publishes that nobody asked about are over when each of
// their shards has answered.
func TestSettleUnasked(t *testing.T) {
	x := newBench(t, 0)
	for _, q := range []string{"a", "b2"} {
		x.queue(q, true)
		if err := x.s.Bind(background, Binding{Destination: q, Source: "amq.fanout"}); err != nil {
			t.Fatal(err)
		}
	}
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.publish(p, publication(0, "amq.fanout", "", "m"), publication(0, "amq.fanout", "", "n"))
	x.one.confirm()
	ctx, cancel := context.WithCancel(background)
	cancel()
	if err := p.Settle(ctx); err == nil {
		t.Error("settled before the second shard answered")
	}
	x.two.confirm()
	if err := p.Settle(background); err != nil || sink.told() != "" {
		t.Errorf("%v", err)
	}
}
