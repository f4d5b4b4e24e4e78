package node

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
)

// eventually waits for what goroutines of the node bring about.
func (r *running) eventually(what string, within time.Duration, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(within); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("not within %s: %s\n%s", within, what, r.log)
		}
	}
}

// limits tells whether the status says that something holds clients back.
func (r *running) limits(what string) bool {
	return strings.Contains(strings.Join(r.status().Limiting, "\n"), what)
}

// A flood publishes numbered messages to a durable queue until it is stopped.
type flood struct {
	blocked   chan amqp.Blocking
	confirmed chan []int // the numbers, when it has ended
	stop      chan struct{}
}

func (r *running) flood(queue string, size int) *flood {
	r.t.Helper()
	c := r.dial()
	ch, err := c.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err == nil {
		_, err = ch.QueueDeclare(queue, true, false, false, false, nil)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	f := &flood{c.NotifyBlocked(make(chan amqp.Blocking, 100)), make(chan []int, 1), make(chan struct{})}
	go func() { // its confirms are waited for by whoever stops it
		var acks []*amqp.DeferredConfirmation
		var ok []int
		for n := 0; ; n++ {
			select {
			case <-f.stop:
				for i, a := range acks {
					if a.Wait() {
						ok = append(ok, i)
					}
				}
				f.confirmed <- ok
				return
			default:
			}
			body := make([]byte, size)
			copy(body, fmt.Sprintf("%d ", n))
			d, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent})
			if err != nil {
				f.confirmed <- nil
				return
			}
			acks = append(acks, d)
			if n >= 64 {
				acks[n-64].Wait()
			}
		}
	}()
	return f
}

// wants waits for connection.blocked or unblocked.
func (f *flood) wants(t *testing.T, active bool, reason string, within time.Duration) {
	t.Helper()
	select {
	case b := <-f.blocked:
		if b.Active != active || b.Reason != reason {
			t.Fatalf("told %+v, want %v %q", b, active, reason)
		}
	case <-time.After(within):
		t.Fatalf("not told within %s: %v %q", within, active, reason)
	}
}

// take takes all messages of a queue and returns their numbers.
func (r *running) take(queue string) (got []int) {
	r.t.Helper()
	ch := r.channel()
	for {
		d, ok, err := ch.Get(queue, false)
		if err != nil {
			r.t.Fatal(err)
		}
		if !ok {
			return got
		}
		n := 0
		if _, err := fmt.Sscan(string(d.Body), &n); err != nil {
			r.t.Fatal(err)
		}
		got = append(got, n)
		if err := d.Ack(false); err != nil {
			r.t.Fatal(err)
		}
	}
}

// A watermark of 0 raises the memory alarm at once; publishers of every kind
// wait, consumers and operators go on; a sensible one clears it.
func TestMemoryAlarm(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	f := r.flood("q", 100)
	r.eventually("messages", 10*time.Second, func() bool { return r.status().Counts.Ready > 100 })
	zero, half := 0.0, 0.5
	if _, err := r.SetMemoryHighWatermark(t.Context(), admin.MemoryHighWatermark{Fraction: &zero}); err != nil {
		t.Fatal(err)
	}
	f.wants(t, true, "low on memory", 5*time.Second)
	r.eventually("the status says it", 5*time.Second, func() bool {
		return r.limits("memory alarm") && r.limits("publishers wait, guest (127.0.0.1:")
	})
	st := r.status()
	if st.Memory.HighWatermark != 0 || st.Memory.Live <= 0 {
		t.Errorf("memory %+v", st.Memory)
	}
	if got := r.take("q"); len(got) < 100 {
		t.Errorf("took %d messages", len(got))
	}
	if _, err := r.SetMemoryHighWatermark(t.Context(), admin.MemoryHighWatermark{Fraction: &half}); err != nil {
		t.Fatal(err)
	}
	f.wants(t, false, "", 5*time.Second)
	r.eventually("messages again", 10*time.Second, func() bool { return r.status().Counts.Ready > 0 })
	close(f.stop)
	if ok := <-f.confirmed; len(ok) < 100 {
		t.Errorf("%d confirmed", len(ok))
	}
	if r.limits("alarm") {
		t.Errorf("limiting %q", r.status().Limiting)
	}
	for _, bad := range []float64{-1, 1.5} {
		if _, err := r.SetMemoryHighWatermark(t.Context(), admin.MemoryHighWatermark{Fraction: &bad}); err == nil {
			t.Errorf("a fraction of %v was taken", bad)
		}
	}
	if _, err := r.SetDiskFreeLimit(t.Context(), admin.DiskFreeLimit{Bytes: -1}); err == nil {
		t.Error("a negative limit was taken")
	}
}

// While others fill the disk, publishers are blocked before it is full; what was
// confirmed is consumed and acknowledged on a disk without a byte to spare, and
// with space publishers go on within seconds. Nothing is lost (G13).
func TestFullDiskIsSurvived(t *testing.T) {
	const mib = 1 << 20
	fs := newQuotaFS(vfs.NewMem(), 200*mib)
	o := testOptions(t, t.TempDir(), fs)
	o.Memory.Memtable = 4 * mib
	r := start(t, o)
	if st := r.status(); st.Disk.FreeLimit != 10*mib || st.Disk.Free < 100*mib {
		t.Fatalf("disk %+v", st.Disk)
	}
	r.eventually("a reserve", 5*time.Second, func() bool { _, err := fs.Stat(r.watch.mu.spare.path()); return err == nil })
	f := r.flood("q", 4000)
	r.eventually("messages", 10*time.Second, func() bool { return r.status().Counts.Ready > 500 })

	fs.leave(9 * mib)
	f.wants(t, true, "low on disk", 5*time.Second)
	r.eventually("the status says it", 5*time.Second, func() bool { return r.limits("disk alarm") && r.limits("low on disk") })
	fs.leave(0) // less than nothing is left to those who still write
	r.eventually("the reserve is given up", 5*time.Second, func() bool { _, err := fs.Stat(r.watch.mu.spare.path()); return err != nil })

	got := r.take("q")
	r.eventually("acknowledgements are committed", 20*time.Second, func() bool {
		var left int64
		for _, s := range r.status().Shards {
			left += s.Messages
		}
		return left == 0
	})
	fs.leave(100 * mib)
	f.wants(t, false, "", 5*time.Second)
	close(f.stop)
	confirmed := <-f.confirmed
	got = append(got, r.take("q")...)
	slices.Sort(got)
	if len(confirmed) < 500 || len(slices.Compact(got)) < len(confirmed) {
		t.Errorf("%d confirmed, %d taken", len(confirmed), len(got))
	}
	for _, n := range confirmed {
		if _, ok := slices.BinarySearch(got, n); !ok {
			t.Fatalf("message %d was confirmed and is lost", n)
		}
	}
	r.eventually("a reserve again", 5*time.Second, func() bool { _, err := fs.Stat(r.watch.mu.spare.path()); return err == nil })
}

// A log that finds no space at all waits for it: nothing is confirmed meanwhile,
// nothing is lost, and the node does not end.
func TestLogWaitsForSpace(t *testing.T) {
	const mib = 1 << 20
	fs := newQuotaFS(vfs.NewMem(), 100*mib)
	o := testOptions(t, t.TempDir(), fs)
	o.Memory.Memtable, o.DiskFreeLimit = 4*mib, 1 // no alarm in time
	r := start(t, o)
	f := r.flood("q", 4000)
	r.eventually("messages", 10*time.Second, func() bool { return r.status().Counts.Ready > 500 })
	fs.leave(0)
	r.eventually("the log waits", 20*time.Second, func() bool { return strings.Contains(r.log.String(), "the log waits for space") })
	r.eventually("the reserve is used up", 20*time.Second, func() bool { return fs.refused() > 3 })
	fs.leave(80 * mib)
	before := r.status().Counts.Ready
	r.eventually("it goes on", 5*time.Second, func() bool { return r.status().Counts.Ready > before })
	close(f.stop)
	confirmed := <-f.confirmed
	r.stop()

	r = start(t, o)
	got := r.take("q")
	for _, n := range confirmed {
		if _, ok := slices.BinarySearch(got, n); !ok {
			t.Fatalf("message %d was confirmed and is lost", n)
		}
	}
}

// Publishers wait for checkpoints that are far behind the log, without a word to
// their clients, and go on when they have caught up.
func TestCheckpointsBehind(t *testing.T) {
	var slow atomic.Bool
	release := make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") && slow.Load() {
			<-release
		}
		return nil
	}))
	r := start(t, testOptions(t, t.TempDir(), fs)) // a round is 4 MiB of log
	slow.Store(true)
	f := r.flood("q", 4000)
	r.eventually("publishers wait for the rounds", 20*time.Second, func() bool {
		return r.limits("checkpoints are behind the log") && r.limits("low on log space")
	})
	if behind := r.rounds.Behind(); behind < 16<<20 || behind > 64<<20 {
		t.Errorf("%d bytes behind", behind)
	}
	slow.Store(false)
	close(release)
	r.eventually("they go on", 20*time.Second, func() bool { return !r.limits("checkpoints are behind the log") })
	close(f.stop)
	confirmed := <-f.confirmed
	select {
	case b := <-f.blocked:
		t.Errorf("the client was told %+v", b)
	default:
	}
	if got := len(r.take("q")); got < len(confirmed) {
		t.Errorf("%d confirmed, %d taken", len(confirmed), got)
	}
}
