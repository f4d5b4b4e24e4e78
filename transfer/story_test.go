package transfer_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/transfer"
)

// A story is told in testdata:
//
//	address q exchange=x key=k once     where the letters of a queue go
//	route x q…                          where an exchange leads
//	place q s                           the shard of a target; - is nowhere
//	die q reason body…                  letters for the transfer to ask for; volatile=1: of a queue in memory
//	step                                do what there is to do
//	answer take|refuse|unknown [q…]     the outcome of publishes, by a queue of theirs; all if none is named
//	wait ms                             time passes, and a step
//	lose q                              the queue is not served any more
//
// What is published, what leaves, and what is logged is printed.
type story struct {
	clock  *clock.Manual
	t      *transfer.Transfer
	out    strings.Builder
	log    bytes.Buffer
	addrs  map[string]transfer.Address
	routes map[string][]string
	delays map[string]uint32  // of schedules
	shards map[string]*target // by queue
	names  map[string]*target
	ids    []string // queues, by id - 1
	boxes  map[string]*box
}

// A box is a queue with letters, and the shard it is in.
type box struct {
	s        *story
	name     string
	letters  []shard.Letter
	given    int
	last     uint64
	floor    uint64
	volatile bool
	told     bool
	lost     bool
}

func (b *box) Letters(_ shard.QueueID, done func(shard.LettersResult, error)) {
	if b.lost {
		b.lost = false
		done(shard.LettersResult{}, shard.ErrUnavailable)
		return
	}
	r := shard.LettersResult{Floor: b.floor, Volatile: b.volatile}
	for b.given < len(b.letters) && len(r.Letters) < 3 {
		r.Letters = append(r.Letters, b.letters[b.given])
		b.given++
	}
	if len(r.Letters) == 0 {
		b.told = false
	}
	done(r, nil)
}

func (b *box) Left(_ shard.QueueID, r queue.Run) {
	fmt.Fprintf(&b.s.out, "left %s %d+%d of %d bytes\n", b.name, r.Seq, r.N, r.Bytes)
	for n := r.Seq; n < r.Seq+uint64(r.Span); n++ {
		i := slices.IndexFunc(b.letters, func(l shard.Letter) bool { return l.Number == n })
		b.letters = slices.Delete(b.letters, i, i+1)
		b.given--
	}
	b.floor = b.last
	if len(b.letters) > 0 {
		b.floor = b.letters[0].Number - 1
	}
}

// A target is a shard that letters go to.
type target struct {
	shard.Shard // nothing else is called
	s           *story
	name        string
	open        []shard.Publish
}

func (x *target) Publish(ps []shard.Publish) bool {
	for i := range ps {
		p := &ps[i]
		var to []string
		for _, q := range p.Queues {
			to = append(to, x.s.ids[q-1])
		}
		m := p.Message
		fmt.Fprintf(&x.s.out, "publish %s to %s of shard %s: exchange %q key %q", m.Body, strings.Join(to, ","), x.name, m.Exchange, m.RoutingKey)
		if o := p.Origin; o != nil {
			fmt.Fprintf(&x.s.out, " origin %s/%d above %d", x.s.ids[o.ID-1], o.Seq, o.Floor)
		}
		if p.HasTTL {
			fmt.Fprintf(&x.s.out, " for %d ms", p.TTL)
		}
		if h, ok := m.Overlaid(message.OverlayHeaders); ok {
			for name, v := range message.Table(h).All() {
				n, _ := v.Int()
				fmt.Fprintf(&x.s.out, " %s %d", name, n)
			}
		}
		if _, ok := m.Overlaid(message.OverlayNoTTL); p.Origin != nil && x.s.addrs[x.s.ids[p.Origin.ID-1]].Due {
			// It did not die.
		} else if !ok || m.HasTTL || p.HasTTL && x.s.delays[to[0]] == 0 {
			x.s.out.WriteString(" still expires")
		}
		ds, err := m.Deaths()
		if err != nil {
			panic(err)
		}
		for _, d := range ds {
			fmt.Fprintf(&x.s.out, " [%d %s %s %q %v", d.Count, d.Queue, d.Reason, d.Exchange, d.Keys)
			if d.HasTTL {
				fmt.Fprintf(&x.s.out, " ttl %d", d.TTL)
			}
			x.s.out.WriteString("]")
		}
		x.s.out.WriteString("\n")
		x.open = append(x.open, *p)
	}
	return true
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{
			clock: clock.NewManual(time.Unix(1000, 0)), addrs: map[string]transfer.Address{}, routes: map[string][]string{}, delays: map[string]uint32{},
			shards: map[string]*target{}, names: map[string]*target{}, boxes: map[string]*box{},
		}
		s.t = transfer.New(transfer.Options{Router: s, Clock: s.clock, Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == "vhost" {
					return slog.Attr{}
				}
				return a
			},
		}))})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			for _, line := range strings.Split(d.Input, "\n") {
				if f := strings.Fields(line); len(f) > 0 {
					s.do(t, f[0], f[1:])
				}
			}
			s.out.Write(s.log.Bytes())
			s.log.Reset()
			return s.out.String()
		})
		if !s.t.Idle() {
			t.Errorf("%s: something is left to do", path)
		}
	})
}

func (s *story) id(name string) shard.QueueID {
	if i := slices.Index(s.ids, name); i >= 0 {
		return shard.QueueID(i + 1)
	}
	s.ids = append(s.ids, name)
	return shard.QueueID(len(s.ids))
}

// Address implements transfer.Router.
func (s *story) Address(q shard.QueueID) (transfer.Address, bool) {
	a, ok := s.addrs[s.ids[q-1]]
	return a, ok
}

// Route implements transfer.Router: an exchange whose name ends with "*" leads
// to the queues with the names of the keys.
func (s *story) Route(a *transfer.Address, m *message.Message, keys [][]byte, dst []transfer.Target) ([]transfer.Target, bool) {
	names, ok := s.routes[a.Exchange]
	if strings.HasSuffix(a.Exchange, "*") {
		names = append(names, string(m.RoutingKey))
		for _, k := range keys {
			names = append(names, string(k))
		}
	}
	for _, name := range names {
		t := transfer.Target{Queue: s.id(name), Name: name, Delay: s.delays[name]}
		if x := s.shards[name]; x != nil {
			t.To = x
		}
		dst = append(dst, t)
	}
	return dst, ok
}

func (s *story) do(t *testing.T, verb string, args []string) {
	t.Helper()
	opts := map[string]string{}
	var names []string
	for _, a := range args {
		if k, v, ok := strings.Cut(a, "="); ok {
			opts[k] = v
		} else {
			names = append(names, a)
		}
	}
	switch verb {
	case "address":
		key, hasKey := opts["key"]
		s.addrs[names[0]] = transfer.Address{
			Queue: names[0], Exchange: opts["exchange"], Key: []byte(key), HasKey: hasKey, AtMostOnce: slices.Contains(names, "once"), Due: slices.Contains(names, "due"),
		}
		if slices.Contains(names, "none") {
			delete(s.addrs, names[0])
		}
	case "route":
		s.routes[names[0]] = names[1:]
	case "place":
		ms, _ := strconv.ParseUint(opts["delay"], 10, 32)
		s.delays[names[0]] = uint32(ms)
		if delete(s.shards, names[0]); names[1] != "-" {
			if s.names[names[1]] == nil {
				s.names[names[1]] = &target{s: s, name: names[1]}
			}
			s.shards[names[0]] = s.names[names[1]]
		}
	case "die":
		s.die(t, names, opts)
	case "step":
		s.t.Step()
	case "answer":
		s.answer(names)
		s.t.Step()
	case "wait":
		ms, _ := strconv.Atoi(names[0])
		s.clock.Advance(time.Duration(ms) * time.Millisecond)
		s.t.Step()
	case "lose":
		s.boxes[names[0]].lost = true
	case "counts":
		fmt.Fprintf(&s.out, "%+v\n", s.t.Counts())
	default:
		t.Fatalf("unknown verb %s", verb)
	}
}

func (s *story) die(t *testing.T, names []string, opts map[string]string) {
	b := s.boxes[names[0]]
	if b == nil {
		b = &box{s: s, name: names[0]}
		s.boxes[b.name] = b
	}
	b.volatile = opts["volatile"] == "1"
	why := map[string]queue.Reason{"expired": queue.Expired, "rejected": queue.Rejected, "maxlen": queue.Dropped, "delivery_limit": queue.Spent, "due": queue.Due}[names[1]]
	for _, body := range names[2:] {
		m := message.Message{Exchange: []byte("in"), RoutingKey: []byte("key-" + body), Body: []byte(body)}
		if ttl, ok := opts["ttl"]; ok {
			m.TTL, _ = strconv.ParseUint(ttl, 10, 64)
			m.HasTTL = true
		}
		var ds message.Deaths
		for _, x := range strings.Split(opts["died"], ",") {
			if q, reason, ok := strings.Cut(x, ":"); ok {
				ds = ds.Add(message.Death{Queue: q, Reason: reason, Exchange: "before"})
			}
		}
		if ds != nil {
			m.Overlay = message.AppendOverlay(nil, message.OverlayDeaths, message.AppendDeaths(nil, ds))
		}
		if cc, ok := opts["cc"]; ok {
			m.Overlay = message.AppendCopies(m.Overlay, [][]byte{[]byte(cc)}, [][]byte{[]byte(opts["bcc"])})
		}
		blob := message.AppendTo(nil, &m)
		if opts["damaged"] == "1" {
			blob = blob[:5]
		}
		b.last++
		b.letters = append(b.letters, shard.Letter{Number: b.last, Why: why, At: 5000, Size: uint32(len(body)), Blob: blob})
	}
	if !b.told {
		b.told = true
		s.t.Posted(b, s.id(b.name))
	}
}

// answer answers the open publishes that name one of the queues.
func (s *story) answer(args []string) {
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		x := s.names[name]
		open := x.open
		x.open = nil
		for _, p := range open {
			named := slices.ContainsFunc(p.Queues, func(q shard.QueueID) bool { return slices.Contains(args, s.ids[q-1]) })
			switch {
			case len(args) > 1 && !named:
				x.open = append(x.open, p)
			case args[0] == "unknown":
				p.To.Unknown(p.Tag, 1)
			default:
				p.To.Confirmed(p.Tag, 1, args[0] == "refuse")
			}
		}
	}
}
