package amqp091

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// clients are two ways in which client libraries read confirms: by a set of
// what is outstanding, and in order of the tags, where what comes early is kept
// until its turn.
type clients struct {
	t        *rapid.T
	set      map[uint64]bool // outcome by tag: acknowledged or not
	expected uint64
	early    map[uint64]bool
	inOrder  map[uint64]bool
}

func (c *clients) frame(tag uint64, multiple, ack bool) {
	from := tag
	if multiple {
		from = 1
	}
	fresh := 0
	for i := from; i <= tag; i++ {
		if _, ok := c.set[i]; !ok {
			c.set[i] = ack
			fresh++
		}
	}
	if fresh == 0 {
		c.t.Fatalf("tag %d (multiple %v) tells nothing new", tag, multiple)
	}
	if _, ok := c.set[tag]; !ok {
		c.t.Fatalf("tag %d", tag)
	}
	switch {
	case multiple:
		for ; c.expected <= tag; c.expected++ {
			c.inOrder[c.expected] = ack
			delete(c.early, c.expected)
		}
	case tag == c.expected:
		c.inOrder[tag] = ack
		c.expected++
	default:
		c.early[tag] = ack
	}
	for ack, ok := c.early[c.expected]; ok; ack, ok = c.early[c.expected] {
		delete(c.early, c.expected)
		c.inOrder[c.expected] = ack
		c.expected++
	}
}

// Whatever the order in which tags are confirmed and told, every client learns
// each tag's outcome, once.
func TestConfirmsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "tags")
		refuse := rapid.SliceOfN(rapid.Float64Range(0, 1), n, n).Draw(t, "refuse")
		spread := rapid.IntRange(0, 20).Draw(t, "spread")
		// Blocks of tags in an order that is more or less theirs.
		type block struct {
			first uint64
			n     uint32
			no    bool
		}
		var blocks []block
		for tag := 1; tag <= n; {
			k := min(rapid.IntRange(1, 5).Draw(t, "block"), n-tag+1)
			blocks = append(blocks, block{uint64(tag), uint32(k), refuse[tag-1] < 0.2})
			tag += k
		}
		for i := range blocks {
			j := min(len(blocks)-1, i+rapid.IntRange(0, spread).Draw(t, "swap"))
			blocks[i], blocks[j] = blocks[j], blocks[i]
		}
		k := confirms{low: 1}
		c := clients{t: t, set: map[uint64]bool{}, expected: 1, early: map[uint64]bool{}, inOrder: map[uint64]bool{}}
		want := map[uint64]bool{}
		tell := func() {
			out := k.append(nil, 9)
			for len(out) > 0 {
				f, used, err := wire.ScanFrame(out, wire.FrameMinSize)
				if err != nil || used == 0 || f.Channel != 9 {
					t.Fatalf("%v", err)
				}
				out = out[used:]
				m, err := wire.DecodeMethod(f.Payload)
				if err != nil {
					t.Fatal(err)
				}
				switch m := m.(type) {
				case *wire.BasicAck:
					c.frame(m.DeliveryTag, m.Multiple, true)
				case *wire.BasicNack:
					if m.Requeue {
						t.Fatal("requeue is set")
					}
					c.frame(m.DeliveryTag, m.Multiple, false)
				}
			}
			for tag, ack := range want {
				if got, ok := c.set[tag]; !ok || got != ack {
					t.Fatalf("tag %d: told %v, %v; is %v", tag, got, ok, ack)
				}
			}
		}
		for _, b := range blocks {
			k.confirmed(b.first, b.n, b.no)
			for i := range uint64(b.n) {
				want[b.first+i] = !b.no
			}
			if rapid.IntRange(0, 2).Draw(t, "tell") == 0 {
				tell()
			}
		}
		tell()
		if len(c.inOrder) != n || len(k.early) != 0 || k.low != uint64(n+1) {
			t.Fatalf("%d of %d in order, %d early", len(c.inOrder), n, len(k.early))
		}
		for tag, ack := range want {
			if c.inOrder[tag] != ack {
				t.Fatalf("tag %d in order: %v, is %v", tag, c.inOrder[tag], ack)
			}
		}
	})
}

// What is confirmed in order is one frame.
func TestConfirmsCoalesce(t *testing.T) {
	k := confirms{low: 1}
	k.confirmed(1, 10, false)
	k.confirmed(11, 5, false)
	if got, want := string(k.append(nil, 1)), string(wire.AppendAck(nil, 1, 15, true)); got != want {
		t.Errorf("%q", got)
	}
	k.confirmed(16, 1, false)
	if got, want := string(k.append(nil, 1)), string(wire.AppendAck(nil, 1, 16, false)); got != want {
		t.Errorf("%q", got)
	}
	if got := k.append(nil, 1); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// The list of what is not acknowledged, against a map.
func TestUnackedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u unacked
		want := map[uint64]bool{}
		to := &consumer{}
		next := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					next++
					u.add(held{to: to, tag: next})
					want[next] = true
				}
				continue
			}
			tag := rapid.Uint64Range(0, next+1).Draw(t, "tag")
			multiple := rapid.IntRange(0, 3).Draw(t, "multiple") == 0
			if u.has(tag) != want[tag] {
				t.Fatalf("has %d: %v", tag, u.has(tag))
			}
			got := map[uint64]bool{}
			last := uint64(0)
			for _, h := range u.take(nil, tag, multiple) {
				if h.tag <= last {
					t.Fatalf("%d after %d", h.tag, last)
				}
				last = h.tag
				got[h.tag] = true
			}
			for w := range want {
				if mine := w == tag || multiple && (w < tag || tag == 0); mine != got[w] {
					t.Fatalf("take %d, multiple %v: %d is %v", tag, multiple, w, got[w])
				}
			}
			for g := range got {
				if !want[g] {
					t.Fatalf("%d taken again", g)
				}
				delete(want, g)
			}
			if u.n != len(want) {
				t.Fatalf("%d held, want %d", u.n, len(want))
			}
		}
	})
}

// One old delivery does not make the list grow.
func TestUnackedStaysSmall(t *testing.T) {
	var u unacked
	to := &consumer{}
	for tag := uint64(1); tag < 100_000; tag++ {
		u.add(held{to: to, tag: tag})
		if tag > 1 {
			u.take(nil, tag, false)
		}
	}
	if cap(u.list) > 16 || u.n != 1 || !u.has(1) {
		t.Errorf("room for %d", cap(u.list))
	}
}
