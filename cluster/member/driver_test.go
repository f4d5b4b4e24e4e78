package member

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig runs drivers that hear each other at once, on one clock, turn by turn.
type rig struct {
	t       *testing.T
	clock   *clock.Manual
	roster  Roster
	last    uint64 // incarnation
	drivers map[uint64]*Driver
	deaf    map[uint64]bool
	ends    []End
	over    []uint64
}

func newRig(t *testing.T, nodes int) *rig {
	r := &rig{
		t: t, clock: clock.NewManual(time.Unix(0, 0)), roster: Roster{Conf: Conf{Index: 1}},
		drivers: map[uint64]*Driver{}, deaf: map[uint64]bool{},
	}
	for i := range nodes {
		id := uint64(i + 1)
		r.roster.Members = append(r.roster.Members, Member{Node: id, Name: fmt.Sprintf("rabbit@%c", 'a'+i)})
		r.roster.Conf.Voters = append(r.roster.Conf.Voters, id)
	}
	for _, id := range r.roster.Conf.Voters {
		d, err := NewDriver(DriverOptions{
			Options: Options{Self: id}, Clock: r.clock,
			Send: func(to uint64, b []byte) { r.send(id, to, b) },
			End:  func(e End) { r.ends = append(r.ends, e) },
			Over: func(number uint64) { r.over = append(r.over, number) },
		})
		if err != nil {
			t.Fatal(err)
		}
		r.drivers[id] = d
	}
	return r
}

// register gives a node a new incarnation.
func (r *rig) register(id uint64) uint64 {
	r.last++
	r.set(id, r.last)
	return r.last
}

// set changes what the catalog says, in a copy: drivers have the other.
func (r *rig) set(id, number uint64) {
	r.roster.Members = slices.Clone(r.roster.Members)
	r.roster.Members[id-1].Incarnation = number
}

func (r *rig) send(from, to uint64, b []byte) {
	if !r.deaf[from] && !r.deaf[to] {
		r.drivers[to].Heard(from, b)
	}
}

func (r *rig) tell() {
	now := r.roster
	for _, d := range r.drivers {
		d.setRoster(func() Roster { return now })
		d.SetLeader(Leader{Node: r.roster.Conf.Voters[0], Term: 1})
	}
}

// until moves the clock until a condition holds.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for deadline := r.clock.Mono() + 5*time.Second; !f(); r.clock.Advance(10 * time.Millisecond) {
		if r.clock.Mono() > deadline {
			r.t.Fatalf("%s: not within 5 s; %v", what, r.texts())
		}
		for _, id := range r.roster.Conf.Voters {
			r.drivers[id].turn()
		}
	}
}

func (r *rig) texts() (out []string) {
	for _, id := range r.roster.Conf.Voters {
		s := r.drivers[id].Status()
		out = append(out, s.State.String()+": "+s.Text)
	}
	return out
}

func TestDrivers(t *testing.T) {
	r := newRig(t, 3)
	a, b, c := r.roster.Conf.Voters[0], r.roster.Conf.Voters[1], r.roster.Conf.Voters[2]
	numbers := map[uint64]uint64{}
	for _, id := range r.roster.Conf.Voters {
		numbers[id] = r.register(id)
	}
	r.tell()
	for id, d := range r.drivers {
		if d.Serving() {
			t.Fatalf("node %d serves without an incarnation", id)
		}
		d.Begin(numbers[id])
	}
	r.until("all serve", func() bool {
		return r.drivers[a].Serving() && r.drivers[b].Serving() && r.drivers[c].Serving()
	})

	r.deaf[c] = true
	r.until("c alone", func() bool { return !r.drivers[c].Serving() && r.drivers[c].Status().State == Minority })
	if got, want := r.drivers[c].Status().Text, "1 of 3, needs 2, waiting for rabbit@a, rabbit@b"; got != want {
		t.Errorf("c says %q, want %q", got, want)
	}
	r.until("the end of c", func() bool { return len(r.ends) > 0 })
	if e := r.ends[0]; e.Number != numbers[c] || e.Why != Silent || len(e.Witnesses) != 2 || e.Term != 1 {
		t.Errorf("asked for %+v", e)
	}
	if !slices.Equal(r.over, []uint64{numbers[c]}) {
		t.Errorf("over: %v", r.over)
	}
	if !r.drivers[a].Serving() || !r.drivers[b].Serving() {
		t.Error("the majority does not serve")
	}

	r.set(c, 0)
	r.deaf[c] = false
	r.tell()
	r.until("c hears them", func() bool { return r.drivers[c].Status().Text == "3 of 3, waiting for a new incarnation" })
	again := r.register(c)
	r.tell()
	r.drivers[c].Begin(again)
	r.until("c serves again", r.drivers[c].Serving)

	r.drivers[b].Drain(true)
	r.until("b drains", func() bool { return r.drivers[b].Status().State == Draining && r.drivers[b].Serving() })
	r.drivers[b].GiveUp()
	if r.drivers[b].Serving() {
		t.Error("b serves though it gave up")
	}
	r.until("the end of b", func() bool {
		last := r.ends[len(r.ends)-1]
		return last.Number == numbers[b] && last.Why == Over
	})
}

// Run serves as long as its context, and leaves with a last beat.
func TestRun(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	serving, over := make(chan Status, 16), make(chan uint64, 1)
	var last Message
	d, err := NewDriver(DriverOptions{
		Options: Options{Self: 1}, Clock: c, End: func(End) {},
		Send:    func(_ uint64, b []byte) { last, _ = Decode(b) },
		Changed: func(s Status) { serving <- s },
		Over:    func(n uint64) { over <- n },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	d.setRoster(func() Roster {
		return Roster{Members: []Member{{Node: 1, Name: "rabbit@a", Incarnation: 4}}, Conf: Conf{Index: 1, Voters: []uint64{1}, Learners: []uint64{2}}}
	})
	d.Begin(4)
	for s := range serving {
		if s.State == Serving {
			break
		}
	}
	if !d.Serving() {
		t.Error("a sole voter needs nobody")
	}
	c.BlockUntil(1)
	c.Advance(time.Hour)
	if !d.Serving() {
		t.Error("a sole voter has no lease to lose")
	}
	cancel()
	if err := <-done; err != nil || <-over != 4 || d.Serving() {
		t.Error("a driver that ended serves on")
	}
	if last.Kind != Beat || !last.Over || last.Incarnation != 4 {
		t.Errorf("its last word was %+v", last)
	}
	d.Begin(5) // too late, and harmless
}

// What comes too fast is dropped, and what is malformed is ignored.
func TestDriverIsBounded(t *testing.T) {
	d, err := NewDriver(DriverOptions{Options: Options{Self: 1}, Clock: clock.NewManual(time.Unix(0, 0)), Send: func(uint64, []byte) {}, End: func(End) {}})
	if err != nil {
		t.Fatal(err)
	}
	beat := (&Message{Kind: Beat, Seq: 1}).Append(nil)
	for range maxHeard + 10 {
		d.Heard(2, beat)
	}
	d.Heard(2, []byte("no message"))
	if len(d.mu.heard) != maxHeard || d.mu.dropped != 10 {
		t.Errorf("%d wait, %d dropped", len(d.mu.heard), d.mu.dropped)
	}
	d.turn()
	if len(d.mu.heard) != 0 || d.mu.dropped != 0 {
		t.Error("a turn left something")
	}
	if _, err := NewDriver(DriverOptions{Options: Options{Self: 1}}); err == nil {
		t.Error("a driver without a clock")
	}
	if _, err := NewDriver(DriverOptions{Options: Options{Silence: time.Second}}); err == nil {
		t.Error("a silence shorter than the lease, and no id")
	}
}

func BenchmarkServing(b *testing.B) {
	d, err := NewDriver(DriverOptions{Options: Options{Self: 1}, Clock: clock.NewReal(), Send: func(uint64, []byte) {}, End: func(End) {}})
	if err != nil {
		b.Fatal(err)
	}
	d.lease.until.Store(leaseForever)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !d.Serving() {
				panic("not serving")
			}
		}
	})
}

// stuck is whoever reads the log and does not.
type stuck struct {
	slog.Handler
	met  chan struct{} // gets a value when a line is written
	free chan struct{}
}

func (s stuck) Handle(context.Context, slog.Record) error {
	select {
	case s.met <- struct{}{}:
	default:
	}
	<-s.free
	return nil
}

func (s stuck) Enabled(context.Context, slog.Level) bool { return true }

func (s stuck) WithAttrs([]slog.Attr) slog.Handler { return s }

// Beats go on when nobody takes the log lines.
func TestLogDoesNotHoldBeats(t *testing.T) {
	log := stuck{slog.DiscardHandler, make(chan struct{}, 1), make(chan struct{})}
	beats := make(chan struct{}, 1)
	d, err := NewDriver(DriverOptions{
		Options: Options{Self: 1, Beat: 5 * time.Millisecond, Lease: 50 * time.Millisecond, Silence: 80 * time.Millisecond},
		Clock:   clock.NewReal(), Logger: slog.New(log), End: func(End) {},
		Send: func(uint64, []byte) {
			select {
			case beats <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	d.setRoster(func() Roster { return Roster{Conf: Conf{Index: 1, Voters: []uint64{1, 2, 3}}} })
	<-log.met
	<-beats // it may be from before
	for range 50 {
		select {
		case <-beats:
		case <-time.After(10 * time.Second):
			t.Fatal("no beats while the log is stuck")
		}
	}
	close(log.free)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
