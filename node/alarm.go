package node

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
)

const (
	// lookEvery is how often the node looks at its memory and its disk.
	lookEvery = 100 * time.Millisecond
	// collectEvery is how often memory is collected while there is too little:
	// what is held is known after a collection, and without publishers there may
	// be no other reason for one.
	collectEvery = time.Second
	// logBehind times the log that starts a checkpoint round is how far rounds
	// may be behind before publishers wait for them.
	logBehind = 4
)

// A watch raises the alarms of the node: for its memory, its disk and its log.
// One goroutine looks; whoever changes a limit has it look at once.
type watch struct {
	n    *Node
	wake chan struct{} // one token: look now
	calm calm          // run's

	mu struct {
		sync.Mutex
		memory, disk     int64 // limits in bytes
		held, free       int64 // seen last; free is -1 where that is not known
		up               broker.Alarms
		collected        time.Duration
		spare            reserve
		noSpace, toldFor time.Duration // when the log found no space last, and when that was said
	}
}

func newWatch(n *Node) *watch {
	w := &watch{n: n, wake: make(chan struct{}, 1)}
	w.mu.memory, w.mu.disk, w.mu.free = n.o.Memory.HighWatermark, n.o.DiskFreeLimit, -1
	w.mu.spare = reserve{fs: n.o.FS, dir: n.o.DataDir, bytes: n.o.reserveBytes()}
	return w
}

func (w *watch) run(ctx context.Context) {
	t := w.n.clock.NewTimer(lookEvery)
	defer t.Stop()
	for {
		w.look()
		t.Reset(w.rest())
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-t.C():
		}
	}
}

// look compares what there is with the limits and raises or clears alarms. What
// is cleared is cleared with a margin, so that it does not come back at once.
func (w *watch) look() {
	if w.compare() {
		runtime.GC() // outside the lock: the log's writer may want it
	}
}

// compare does look's work, but for the collection that it asks for.
func (w *watch) compare() (collect bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := &w.mu
	up := m.up
	set := func(a broker.Alarms, raise, clear bool) {
		if raise {
			up |= a
		} else if clear {
			up &^= a
		}
	}
	m.held = live()
	set(broker.LowMemory, m.held > m.memory, m.held <= m.memory-m.memory/20)
	if du, err := w.n.o.FS.GetDiskUsage(w.n.o.DataDir); err == nil {
		m.free = int64(min(du.AvailBytes, math.MaxInt64))
		if err := m.spare.keep(m.free, m.disk); err != nil {
			w.n.log.Warn("the reserve on disk is not kept", "err", err)
		}
		set(broker.LowDisk, m.free < m.disk, m.free >= m.disk)
	}
	if m.noSpace != 0 && w.n.clock.Mono()-m.noSpace < 2*lookEvery {
		up |= broker.LowDisk // whatever is said to be free
	}
	if up&broker.LowDisk != 0 && w.n.seglog != nil {
		w.n.seglog.Shrink()
	}
	if w.n.rounds != nil {
		behind, round := int64(w.n.rounds.Behind()), w.n.o.roundBytes()
		set(broker.LowLog, behind > logBehind*round, behind < logBehind*round/2)
	}
	if up != m.up {
		w.tell(m.up, up)
		m.up = up
		if b := w.n.broker.Load(); b != nil {
			b.SetAlarms(up)
		}
	}
	if now := w.n.clock.Mono(); up&broker.LowMemory != 0 && now-m.collected >= collectEvery {
		m.collected = now
		return true
	}
	return false
}

// attach tells a new broker which alarms are up; later ones hear of changes.
func (w *watch) attach(b *broker.Broker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.SetAlarms(w.mu.up)
}

// tell logs what changed; w.mu is held.
func (w *watch) tell(was, is broker.Alarms) {
	m := &w.mu
	for _, a := range []struct {
		alarm broker.Alarms
		has   string
		hint  string
	}{
		{broker.LowMemory, fmt.Sprintf("%d bytes held, %d allowed", m.held, m.memory), "consume, or raise memory.high_watermark"},
		{broker.LowDisk, fmt.Sprintf("%d bytes free, %d wanted", m.free, m.disk), "make room, or lower disk.free_limit"},
		{broker.LowLog, "checkpoints are behind the log", "the disk is slower than the publishers"},
	} {
		switch {
		case is&a.alarm != 0 && was&a.alarm == 0:
			w.n.log.Warn("alarm raised, publishers wait", "reason", a.alarm.String(), "text", a.has, "hint", a.hint)
		case is&a.alarm == 0 && was&a.alarm != 0:
			w.n.log.Info("alarm cleared, publishers go on", "reason", a.alarm.String(), "text", a.has)
		}
	}
}

// noSpace is called by the writer of the log when the disk is full: it gives up
// the reserve, or waits a moment, and has it try again. Before clients are
// served, and when the node stops, the writer fails instead.
func (w *watch) noSpace(err error) bool {
	select {
	case <-w.n.ready:
	default:
		return false
	}
	if w.n.stopping.Load() {
		return false
	}
	now := w.n.clock.Mono()
	w.mu.Lock()
	w.mu.noSpace = now
	gave, rerr := w.mu.spare.give()
	say := gave || w.mu.toldFor == 0 || now-w.mu.toldFor >= time.Minute
	if say {
		w.mu.toldFor = now
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	if rerr != nil {
		err = fmt.Errorf("%w; give up the reserve: %w", err, rerr)
	}
	if say {
		w.n.log.Error("the disk is full, the log waits for space", "err", err, "hint", "make room: nothing is lost, nothing is confirmed meanwhile")
	}
	if !gave {
		t := w.n.clock.NewTimer(lookEvery)
		defer t.Stop()
		<-t.C()
	}
	return !w.n.stopping.Load()
}

// live is what the node holds in memory: what the last collection of Go's heap
// found in use, and what is beside the heap.
func live() (sum int64) {
	s := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(s)
	for _, x := range s {
		if x.Value.Kind() == metrics.KindUint64 {
			sum += int64(x.Value.Uint64())
		}
	}
	return sum
}

// SetMemoryHighWatermark implements admin.Watermarks.
func (n *Node) SetMemoryHighWatermark(_ context.Context, q admin.MemoryHighWatermark) (admin.Done, error) {
	limit := q.Bytes
	if q.Fraction != nil {
		if f := *q.Fraction; !(f >= 0 && f <= 1) {
			return admin.Done{}, admin.Invalidf("the fraction of memory is %v, must be 0 to 1", f)
		}
		limit = int64(*q.Fraction * float64(n.o.Memory.Machine))
	}
	if limit < 0 {
		return admin.Done{}, admin.Invalidf("the memory watermark is %d bytes, must not be negative", limit)
	}
	n.watch.mu.Lock()
	n.watch.mu.memory = limit
	n.watch.mu.Unlock()
	n.log.Info("memory watermark set", "text", fmt.Sprintf("%d bytes", limit))
	n.watch.look()
	return admin.Done{}, nil
}

// SetDiskFreeLimit implements admin.Watermarks.
func (n *Node) SetDiskFreeLimit(_ context.Context, q admin.DiskFreeLimit) (admin.Done, error) {
	limit := q.Bytes
	if f := q.MemoryFraction; f != nil {
		if !(*f >= 0 && *f <= 1<<20) {
			return admin.Done{}, admin.Invalidf("the limit is %v times the memory, which is no size", *f)
		}
		limit = int64(*f * float64(n.o.Memory.Machine))
	}
	if limit < 0 {
		return admin.Done{}, admin.Invalidf("the free disk limit is %d bytes, must not be negative", limit)
	}
	n.watch.mu.Lock()
	n.watch.mu.disk = limit
	n.watch.mu.Unlock()
	n.log.Info("free disk limit set", "text", fmt.Sprintf("%d bytes", limit))
	n.watch.look()
	return admin.Done{}, nil
}

// addAlarms says which alarms are up, and who waits for what.
func (w *watch) addAlarms(st *admin.Status) {
	w.mu.Lock()
	m := w.mu.up
	st.Memory.Live, st.Memory.HighWatermark = w.mu.held, w.mu.memory
	st.Disk.FreeLimit = w.mu.disk
	held, memory, free, disk := w.mu.held, w.mu.memory, w.mu.free, w.mu.disk
	w.mu.Unlock()
	say := func(format string, args ...any) { st.Limiting = append(st.Limiting, fmt.Sprintf(format, args...)) }
	if m&broker.LowMemory != 0 {
		say("memory alarm: %d bytes are held, the watermark is %d: all publishers wait; consume, or raise memory.high_watermark (rabbitmqctl set_vm_memory_high_watermark)", held, memory)
	}
	if m&broker.LowDisk != 0 {
		say("disk alarm: %d bytes are free, the limit is %d: all publishers wait; make room, or lower disk.free_limit (rabbitmqctl set_disk_free_limit)", free, disk)
	}
	if m&broker.LowLog != 0 {
		say("checkpoints are behind the log: all publishers wait for the disk")
	}
}

// mostWaiters bounds how many of those who wait are named.
const mostWaiters = 8

// addWaiters names those whose publishes are held, a reason with its users once.
func (n *Node) addWaiters(st *admin.Status) {
	var reasons []string
	users, count := map[string][]string{}, map[string]int{}
	for _, w := range n.broker.Load().Waiting() {
		if count[w.Why]++; count[w.Why] == 1 {
			reasons = append(reasons, w.Why)
		}
		who := fmt.Sprintf("%s (%s)", w.User, w.Peer)
		if len(users[w.Why]) < mostWaiters && !slices.Contains(users[w.Why], who) {
			users[w.Why] = append(users[w.Why], who)
		}
	}
	for i, why := range reasons {
		if i == mostWaiters {
			st.Limiting = append(st.Limiting, fmt.Sprintf("publishers wait for %d more reasons", len(reasons)-i))
			break
		}
		st.Limiting = append(st.Limiting, fmt.Sprintf("%d publishers wait, %s: %s", count[why], join(users[why], count[why]), why))
	}
}

func join(who []string, of int) (s string) {
	for i, w := range who {
		if i > 0 {
			s += ", "
		}
		s += w
	}
	if of > len(who) && len(who) == mostWaiters {
		s += " and others"
	}
	return s
}
