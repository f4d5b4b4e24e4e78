package shard_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
	rig "github.com/warrenmq/warren/test/shard"
	"github.com/warrenmq/warren/transfer"
)

// Queues of the yard: those that begin with s have letters, which go to all of
// those that begin with d and have one of their digits; the targets that end
// with x are small and refuse, the source that ends with w is a schedule.
func yardQueues() []string { return []string{"s12", "s2x", "s1x", "s12w", "d1", "d2", "d2x"} }

// sources is how many of them are.
const sources = 4

func isSchedule(name string) bool { return strings.HasSuffix(name, "w") }

func isSource(name string) bool { return name[0] == 's' }

func targetsOf(source string) (names []string) {
	for _, name := range yardQueues() {
		if !isSource(name) && strings.Contains(source, name[1:]) {
			names = append(names, name)
		}
	}
	if strings.HasSuffix(source, "x") {
		names = append(names, "d2x")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func yardSettings(name string) (s shard.Settings) {
	switch {
	case name == "s12":
		s.TTL, s.HasTTL = 400, true
	case name == "s2x":
		s.MaxLength = queue.AtMost(5)
	case name == "d2x":
		s.MaxLength, s.Overflow = queue.AtMost(4), queue.RejectPublish
	}
	s.Schedule = isSchedule(name)
	if isSource(name) {
		s.Letters = shard.AtLeastOnce
	}
	return s
}

// yardClock is the rig's.
type yardClock struct {
	clock.Clock
	r *rig.Rig
}

func (c *yardClock) Mono() time.Duration { return c.r.Now }

// A letterYard is one life of a node with a transfer.
type letterYard struct {
	r     *rig.Rig
	mail  *transfer.Transfer
	clock yardClock
	ids   map[string]shard.QueueID
}

// openYard starts a node, and declares what is not there.
func openYard(o rig.Options) (*letterYard, error) {
	y := &letterYard{ids: map[string]shard.QueueID{}}
	y.mail = transfer.New(transfer.Options{Router: y, Clock: &y.clock})
	o.Mail, o.Settings, o.Shards = y.mail, yardSettings, 2
	o.Work = func(r *rig.Rig) bool {
		y.r, y.clock.r = r, r
		if y.mail.Pending() {
			y.mail.Step()
			return true
		}
		return false
	}
	var err error
	if y.r, err = rig.NewRig(o); err != nil {
		return nil, err
	}
	y.clock.r = y.r
	return y, nil
}

func (y *letterYard) declare() {
	for i, name := range yardQueues() {
		if y.r.Catalog.View().Queue("/", name) == nil {
			_, _ = y.r.Declare(name, y.r.IDs[i%len(y.r.IDs)]) // the crash comes before it, or after
		}
		if q := y.r.Catalog.View().Queue("/", name); q != nil {
			y.ids[name] = q.ID
		}
	}
}

// Address implements transfer.Router.
func (y *letterYard) Address(id shard.QueueID) (a transfer.Address, ok bool) {
	q := y.r.Catalog.View().QueueByID(id)
	if q == nil {
		return a, false
	}
	return transfer.Address{VHost: "/", Queue: q.Name, Exchange: "x", Key: []byte(q.Name), HasKey: true, Due: isSchedule(q.Name)}, true
}

// Route implements transfer.Router.
func (y *letterYard) Route(_ *transfer.Address, m *message.Message, _ [][]byte, dst []transfer.Target) ([]transfer.Target, bool) {
	for _, name := range targetsOf(string(m.RoutingKey)) {
		if q := y.r.Catalog.View().Queue("/", name); q != nil {
			dst = append(dst, transfer.Target{Queue: q.ID, Name: name, To: y.r.Shards[q.Shard]})
		}
	}
	return dst, true
}

// step is a tick with what transfer does at its time.
func (y *letterYard) step() {
	y.r.Tick()
	y.mail.Step()
	y.r.Settle()
}

// A taker takes everything from a queue, and rejects or accepts it.
type taker struct {
	y    *letterYard
	how  shard.Outcome
	each func(id uint64, m *message.Message)
	c    *shard.Consumer
}

func (y *letterYard) take(name string, how shard.Outcome, each func(uint64, *message.Message)) *taker {
	k := &taker{y: y, how: how, each: each}
	k.c = &shard.Consumer{Queue: y.ids[name], Sink: k, Session: 1, Prefetch: 3}
	y.shardOf(name).Consume(k.c, func(error) {})
	return k
}

func (y *letterYard) shardOf(name string) shard.Shard {
	return y.r.Shards[y.r.Catalog.View().Queue("/", name).Shard]
}

// Deliver implements shard.Sink.
func (k *taker) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	var ss []shard.Settle
	for i := range ds {
		m, err := message.Parse(ds[i].Blob)
		if err != nil {
			panic(err)
		}
		if k.each != nil {
			k.each(binary.BigEndian.Uint64(m.Body), &m)
		}
		ss = append(ss, shard.Settle{Queue: c.Queue, Seq: ds[i].Seq, Holding: ds[i].Holding, Outcome: k.how})
	}
	in := k.y.r.Shards[k.y.r.Catalog.View().QueueByID(c.Queue).Shard]
	in.Settle(ss, nil)
}

func (k *taker) Cancelled(*shard.Consumer) {}
func (k *taker) Wake()                     {}

// sent is what the test published: to which source, and whether that is
// confirmed.
type sent struct {
	source    string
	confirmed bool
}

type letterCrash struct {
	t      *testing.T
	seed   uint64
	limit  int
	points int
	mem    *vfs.MemFS
	y      *letterYard

	mu   sync.Mutex // guards what is below: the state store has goroutines
	rng  *rand.Rand
	sent map[uint64]*sent
	over bool
}

// Confirmed implements shard.Confirms: tags are message ids.
func (c *letterCrash) Confirmed(first uint64, n uint32, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := first; id < first+uint64(n); id++ {
		c.sent[id].confirmed = !refused
	}
}

// Unknown implements shard.Confirms.
func (c *letterCrash) Unknown(uint64, uint32) {}

// Wake implements shard.Confirms.
func (c *letterCrash) Wake() {}

// TestLettersCrash cuts the power at every change of the file system while
// messages die and letters move. Each time the node must start again, and in the
// end every message that was confirmed is in its source, or in every target of
// it: once.
func TestLettersCrash(t *testing.T) {
	most, done := *letter, 0
	for seed := *first; done < most; seed++ {
		c := &letterCrash{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), limit: most - done, sent: map[uint64]*sent{}}
		c.run()
		if t.Failed() {
			return
		}
		done += c.points
	}
	t.Logf("%d crashes, seeds from %d", done, *first)
}

func (c *letterCrash) fatal(err error) { c.t.Errorf("seed %d: fatal: %v", c.seed, err) }

func (c *letterCrash) options(d *disk, at time.Duration, fatal func(error)) rig.Options {
	return rig.Options{Log: d.log, State: d.state, Budget: 8 << 10, HotPages: 1, Start: at, Fatal: fatal}
}

func (c *letterCrash) run() {
	c.mem = vfs.NewCrashableMem()
	fs := errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.crash(op)
		}
		return nil
	}))
	rng := rand.New(rand.NewPCG(c.seed, 5))
	var on *disk
	open := func(at time.Duration) {
		var err error
		if on, err = openDisk(fs, c.fatal); err != nil {
			c.t.Fatal(err)
		}
		if c.y, err = openYard(c.options(on, at, c.fatal)); err != nil {
			c.t.Fatal(err)
		}
		c.y.declare()
	}
	open(time.Second)
	id := uint64(0)
	for op := range 120 {
		switch n := rng.IntN(20); {
		case n < 12:
			source := yardQueues()[rng.IntN(sources)]
			for range 1 + rng.IntN(6) {
				id++
				c.publish(source, id)
			}
		case n < 15:
			k := c.y.take(yardQueues()[rng.IntN(sources)], shard.Reject, nil)
			c.y.r.Settle()
			c.y.r.Shards[c.y.r.Catalog.View().QueueByID(k.c.Queue).Shard].Cancel(k.c, true, func(error) {})
		case n < 17:
			c.y.r.Checkpoint()
		case n < 18 && op > 60:
			at := c.y.r.Now + time.Second
			if err := on.close(); err != nil {
				c.t.Fatal(err)
			}
			open(at)
		default:
			c.y.step()
		}
		if rng.IntN(3) > 0 {
			c.y.r.Settle()
		} else {
			c.y.r.Part(rng.IntN(6))
		}
		if c.t.Failed() || c.isOver() {
			break
		}
	}
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	if err := on.close(); err != nil {
		c.t.Error(err)
	}
}

func (c *letterCrash) publish(source string, id uint64) {
	c.mu.Lock()
	c.sent[id] = &sent{source: source}
	c.mu.Unlock()
	body := make([]byte, 8+id%5*700)
	binary.BigEndian.PutUint64(body, id)
	c.y.shardOf(source).Publish([]shard.Publish{{
		Message: &message.Message{Body: body, RoutingKey: []byte(source)}, Queues: []shard.QueueID{c.y.ids[source]}, To: c, Tag: id,
		TTL: uint32(id % 7 * 100), HasTTL: isSchedule(source),
	}})
}

func (c *letterCrash) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// crash looks at what a power cut would leave just now.
func (c *letterCrash) crash(op errorfs.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || len(c.sent) == 0 {
		return
	}
	keep := []int{0, 50, 100}[c.rng.IntN(3)]
	if c.points++; c.points >= c.limit {
		c.over = true
	}
	must := map[uint64]bool{}
	for id, s := range c.sent {
		must[id] = s.confirmed
	}
	left := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: c.rng})
	if err := c.recover(left, must); err != nil {
		c.t.Errorf("seed %d, point %d (%v), %d %% of the unsynced kept: %v", c.seed, c.points, op, keep, err)
		c.over = true
	}
}

// recover starts a node on what is left, lets all letters arrive, and counts.
func (c *letterCrash) recover(left *vfs.MemFS, must map[uint64]bool) (err error) {
	fatal := func(e error) { err = fmt.Errorf("fatal: %w", e) }
	on, e := openDisk(left, fatal)
	if e != nil {
		return e
	}
	defer func() {
		if e := on.close(); err == nil && e != nil {
			err = e
		}
	}()
	y, e := openYard(c.options(on, time.Hour, fatal))
	if e != nil || err != nil {
		return fmt.Errorf("start: %w%w", e, err)
	}
	y.declare()
	found := map[string]map[uint64]int{}
	for _, name := range yardQueues() {
		in := map[uint64]int{}
		found[name] = in
		if !isSource(name) {
			y.take(name, shard.Accept, func(id uint64, m *message.Message) {
				in[id]++
				died := 1
				if isSchedule(string(m.RoutingKey)) {
					died = 0
				}
				if ds, err := m.Deaths(); err != nil || len(ds) != died {
					in[id] = -100
				}
			})
		}
	}
	for n := 0; n < 3 || !y.mail.Idle(); n++ {
		if y.step(); n > 3000 {
			return fmt.Errorf("letters do not arrive: %+v", y.mail.Counts())
		}
	}
	for _, name := range yardQueues() {
		if isSource(name) {
			y.take(name, shard.Accept, func(id uint64, _ *message.Message) { found[name][id]++ })
			y.r.Settle()
		}
	}
	if err != nil {
		return err
	}
	return c.count(must, found)
}

func (c *letterCrash) count(must map[uint64]bool, found map[string]map[uint64]int) error {
	for _, id := range slices.Sorted(maps.Keys(must)) {
		source := c.sent[id].source
		here := found[source][id]
		there := 0
		names := targetsOf(source)
		for _, name := range names {
			if n := found[name][id]; n > 1 || n < 0 {
				return fmt.Errorf("message %d of %s is in %s %d times", id, source, name, n)
			}
			there += found[name][id]
		}
		switch {
		case here+there == 0 && !must[id]:
		case here == 1 && there == 0:
		case here == 0 && there == len(names):
		default:
			return fmt.Errorf("message %d of %s, confirmed %v, is there %d times, and in %d of %d targets", id, source, must[id], here, there, len(names))
		}
	}
	for name, in := range found {
		for id := range in {
			if c.sent[id] == nil || name != c.sent[id].source && !slices.Contains(targetsOf(c.sent[id].source), name) {
				return fmt.Errorf("message %d came to %s from nowhere", id, name)
			}
		}
	}
	return nil
}
