package shard_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
	rig "github.com/warrenmq/warren/test/shard"
)

// A story is told in testdata: declare q [max-length=n overflow=reject ttl=ms
// delivery-limit=n], publish q[,q] body…, consume q [prefetch=n], cancel q,
// accept|requeue|reject|release body…, get q, purge q, counts q, delete q,
// wait ms, checkpoint, restart, crash (what was not synced is lost), digest.
type story struct {
	log   *storagetest.MemLog
	state *state.Memory
	r     *rig.Rig
	args  map[string]shard.Settings
	out   strings.Builder
	held  map[string]shard.Settle
	sinks map[string]*shard.Consumer
	tag   uint64
	names map[uint64]string
}

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{
			log: storagetest.NewMemLog(), state: state.NewMemory(), args: map[string]shard.Settings{},
			names: map[uint64]string{},
		}
		s.start(t, time.Second)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			for _, line := range strings.Split(d.Input, "\n") {
				if f := strings.Fields(line); len(f) > 0 {
					s.do(t, f[0], f[1:])
				}
			}
			return s.out.String()
		})
	})
}

func (s *story) start(t *testing.T, at time.Duration) {
	r, err := rig.NewRig(rig.Options{
		Log: s.log, State: s.state, Start: at, Budget: 1 << 10, HotPages: 1,
		Settings: func(name string) shard.Settings { return s.args[name] },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.r, s.held, s.sinks = r, map[string]shard.Settle{}, map[string]*shard.Consumer{}
}

func (s *story) shard() *replica.Shard { return s.r.Shards[s.r.IDs[0]] }

func (s *story) do(t *testing.T, verb string, args []string) {
	opts := map[string]uint64{}
	var names []string
	for _, a := range args {
		if k, v, ok := strings.Cut(a, "="); ok {
			n, _ := strconv.ParseUint(v, 10, 64)
			opts[k] = n
		} else {
			names = append(names, a)
		}
	}
	id := func(name string) uint64 {
		if q := s.r.Catalog.View().Queue("/", name); q != nil {
			s.names[q.ID] = name
			return q.ID
		}
		return 1 << 40
	}
	sh := s.shard()
	switch verb {
	case "declare":
		var x shard.Settings
		if n, ok := opts["max-length"]; ok {
			x.MaxLength = queue.AtMost(n)
		}
		if opts["reject"] == 1 {
			x.Overflow = queue.RejectPublish
		}
		if n, ok := opts["ttl"]; ok {
			x.TTL, x.HasTTL = uint32(n), true
		}
		if n, ok := opts["delivery-limit"]; ok {
			x.DeliveryLimit = queue.AtMost(n)
		}
		s.args[names[0]] = x
		if _, err := s.r.Declare(names[0], s.r.IDs[0]); err != nil {
			t.Fatal(err)
		}
	case "publish":
		var to []uint64
		for _, n := range strings.Split(names[0], ",") {
			to = append(to, id(n))
		}
		for _, b := range names[1:] {
			s.tag++
			sh.Publish([]shard.Publish{{Message: &message.Message{Body: []byte(b)}, Queues: to, To: s, Tag: s.tag}})
		}
	case "consume":
		c := &shard.Consumer{Queue: id(names[0]), Sink: s, Prefetch: uint32(opts["prefetch"]), Session: 1}
		s.sinks[names[0]] = c
		sh.Consume(c, func(err error) {
			if err != nil {
				s.say("consume: %v", err)
			}
		})
	case "cancel":
		sh.Cancel(s.sinks[names[0]], true, func(error) { s.say("cancelled %s", names[0]) })
	case "accept", "requeue", "reject", "release", "misfit":
		for _, b := range names {
			x := s.held[b]
			x.Outcome = map[string]shard.Outcome{"accept": shard.Accept, "requeue": shard.Requeue, "reject": shard.Reject, "release": shard.Release, "misfit": shard.Misfit}[verb]
			sh.Settle([]shard.Settle{x}, func(err error) { s.say("%s %s: %v", verb, b, err) })
		}
	case "get":
		sh.Get(id(names[0]), 1, func(g shard.GetResult, err error) {
			switch {
			case err != nil:
				s.say("get: %v", err)
			case g.Empty:
				s.say("get: empty")
			default:
				s.received("get", id(names[0]), &g.Delivery)
			}
		})
	case "purge":
		sh.Purge(id(names[0]), func(n uint64, err error) { s.say("purged %d %v", n, err) })
	case "counts":
		sh.Counts(id(names[0]), func(c shard.Counts, err error) {
			s.say("ready %d unacked %d bytes %d consumers %d %v", c.Ready, c.Unacked, c.Bytes, c.Consumers, err)
		})
	case "delete":
		if err := s.r.Delete(names[0]); err != nil {
			t.Fatal(err)
		}
	case "wait":
		for end := s.r.Now + time.Duration(opts["ms"])*time.Millisecond; s.r.Now < end; {
			s.r.Tick()
		}
	case "checkpoint":
		s.r.Checkpoint()
	case "restart", "crash":
		if verb == "restart" {
			s.r.Settle()
		}
		s.log = s.log.Crash(nil)
		s.state.Crash(0)
		s.start(t, s.r.Now+time.Second)
		return
	default:
		t.Fatalf("unknown verb %q", verb)
	}
	if opts["now"] == 0 {
		s.r.Settle()
	}
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *story) received(how string, q uint64, d *shard.Delivery) {
	m, err := message.Parse(d.Blob)
	if err != nil {
		s.say("error: %v", err)
	}
	flag := ""
	if d.Redelivered {
		flag = fmt.Sprintf(" redelivered (%d)", d.Acquired)
	}
	s.say("%s %s: %s%s", how, s.names[q], m.Body, flag)
	s.held[string(m.Body)] = shard.Settle{Queue: q, Seq: d.Seq, Holding: d.Holding}
}

// Confirmed implements shard.Confirms.
func (s *story) Confirmed(first uint64, n uint32, refused bool) {
	what := "confirmed"
	if refused {
		what = "refused"
	}
	s.say("%s %d..%d", what, first, first+uint64(n)-1)
}

// Unknown implements shard.Confirms.
func (s *story) Unknown(first uint64, n uint32) { s.say("unknown %d", first) }

// Deliver implements shard.Sink.
func (s *story) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		s.received("deliver", c.Queue, &ds[i])
	}
}

// Cancelled implements shard.Sink.
func (s *story) Cancelled(c *shard.Consumer) { s.say("the consumer of %s ends", s.names[c.Queue]) }

// Wake implements shard.Sink.
func (s *story) Wake() {}
