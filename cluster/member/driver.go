package member

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/clock"
)

// DriverOptions of a Driver.
type DriverOptions struct {
	Options
	// Clock gives Mono. Required.
	Clock clock.Clock
	// Send hands a message to the transport, ahead of everything else. It never
	// blocks and keeps nothing of b. Required.
	Send func(to uint64, b []byte)
	// End asks for the command that ends an incarnation. It never blocks: the
	// Driver's goroutine calls it. Required.
	End func(End)
	// Over is called once when this node's incarnation is over: stop serving
	// clients, and register again when that can be done. It never blocks. Optional.
	Over func(incarnation uint64)
	// Changed is called when the status is another one. It never blocks. Optional.
	Changed func(Status)
	// Logger; nil discards.
	Logger *slog.Logger
}

// A Driver runs a Machine: one goroutine (Run) that touches no disk and waits
// for nobody, and one that writes its log lines, since whoever reads those may be
// slow. Its other methods may be called by any goroutine and never block.
type Driver struct {
	o     DriverOptions
	m     *Machine // owned by Run; its Lease is anybody's
	lease *Lease
	wake  chan struct{} // holds one

	status atomic.Pointer[Status]
	lines  chan func() // what is to be logged; beyond its bound lines are lost

	mu struct {
		sync.Mutex
		heard   []heard
		dropped int // messages, since Run last looked
		steps   []func(now time.Duration)
		roster  func() Roster // the newest not yet looked at
		closed  bool
	}

	// Owned by Run.
	roster Roster
	fx     Effects
	buf    []byte
}

// heard is a message as it came.
type heard struct {
	from uint64
	msg  Message
}

// maxLines bounds the log lines that wait to be written.
const maxLines = 256

// maxHeard bounds the messages that wait for Run: some for each member of a
// large cluster. What comes beyond is dropped, as networks do.
const maxHeard = 4096

// NewDriver returns a driver whose Run has to be called.
func NewDriver(o DriverOptions) (*Driver, error) {
	m, err := New(o.Options)
	if err != nil {
		return nil, err
	}
	if o.Clock == nil || o.Send == nil || o.End == nil {
		return nil, errors.New("member: a driver needs a clock, a sender and somebody to end incarnations")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Driver{o: o, m: m, lease: m.Lease(), wake: make(chan struct{}, 1), lines: make(chan func(), maxLines)}
	d.status.Store(&Status{Text: m.text(&Status{})})
	return d, nil
}

// Serving reports whether this node may serve clients now: it is asked before
// each read and write of a client, and costs one reading of the clock.
func (d *Driver) Serving() bool { return d.lease.Valid(d.o.Clock.Mono()) }

// Lease returns what Serving asks, for callers that have read the clock.
func (d *Driver) Lease() *Lease { return d.lease }

// Status returns the status as of the last step.
func (d *Driver) Status() Status { return *d.status.Load() }

// Heard takes the bytes of a message of a member; it keeps nothing of them.
func (d *Driver) Heard(from uint64, b []byte) {
	msg, err := Decode(b)
	if err != nil {
		d.o.Logger.Debug("beat not understood", "from", from, "err", err)
		return
	}
	d.mu.Lock()
	if len(d.mu.heard) < maxHeard {
		d.mu.heard = append(d.mu.heard, heard{from: from, msg: msg})
	} else {
		d.mu.dropped++
	}
	d.mu.Unlock()
	d.poke()
}

// SetView tells what the catalog and its group's configuration now are. Only
// the newest is looked at, by the driver's goroutine.
func (d *Driver) SetView(v *catalog.View, conf Conf) {
	d.setRoster(func() Roster { return RosterOf(v, conf) })
}

func (d *Driver) setRoster(f func() Roster) {
	d.mu.Lock()
	d.mu.roster = f
	d.mu.Unlock()
	d.poke()
}

// SetLeader tells who leads the catalog; see Leader.
func (d *Driver) SetLeader(l Leader) { d.do(func(now time.Duration) { d.m.Leader(now, l) }) }

// Begin tells that the catalog registered this node under number.
func (d *Driver) Begin(number uint64) { d.do(func(now time.Duration) { d.m.Begin(now, number) }) }

// Lost tells that a member's process is proved gone: the one that was there when
// a connection broke, on the clock's Mono.
func (d *Driver) Lost(node uint64, broke time.Duration) {
	d.do(func(now time.Duration) { d.m.Gone(now, node, broke) })
}

// Drain tells whether the node is being emptied.
func (d *Driver) Drain(draining bool) { d.do(func(now time.Duration) { d.m.Drain(now, draining) }) }

// GiveUp ends this node's incarnation: it stops. Serving is false at once.
func (d *Driver) GiveUp() {
	d.lease.end()
	d.do(func(now time.Duration) { d.m.GiveUp(now) })
}

// do has f run as a step. There are as many as callers make, which are few and
// far between: leaders, lives and deaths.
func (d *Driver) do(f func(now time.Duration)) {
	d.mu.Lock()
	if !d.mu.closed {
		d.mu.steps = append(d.mu.steps, f)
	}
	d.mu.Unlock()
	d.poke()
}

func (d *Driver) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run steps the machine until ctx ends. The node's life is given up then, and the
// others are told if Send still takes it: a node that stops in order does not count
// on that, and has the catalog end its life before.
func (d *Driver) Run(ctx context.Context) error {
	var told sync.WaitGroup
	told.Go(d.write)
	defer told.Wait()
	defer close(d.lines)
	timer := d.o.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			d.close()
			return nil
		case <-d.wake:
		case <-timer.C():
		}
		d.turn()
		timer.Reset(d.m.Next() - d.o.Clock.Mono())
	}
}

func (d *Driver) close() {
	d.mu.Lock()
	d.mu.closed = true
	d.mu.Unlock()
	d.m.GiveUp(d.o.Clock.Mono())
	d.perform()
}

// turn takes all that has come, then lets time pass: what was heard before the
// turn is never judged as silence.
func (d *Driver) turn() {
	d.mu.Lock()
	msgs, steps, roster, dropped := d.mu.heard, d.mu.steps, d.mu.roster, d.mu.dropped
	d.mu.heard, d.mu.steps, d.mu.roster, d.mu.dropped = nil, nil, nil, 0
	d.mu.Unlock()
	if dropped > 0 {
		d.say(func() { d.o.Logger.Warn("beats dropped because too many waited", "count", dropped) })
	}
	for i := range msgs {
		d.m.Receive(d.o.Clock.Mono(), msgs[i].from, &msgs[i].msg)
	}
	if roster != nil {
		if r := roster(); !r.equal(&d.roster) {
			d.roster = r
			d.m.Roster(d.o.Clock.Mono(), r)
		}
	}
	for _, f := range steps {
		f(d.o.Clock.Mono())
	}
	if now := d.o.Clock.Mono(); now >= d.m.Next() {
		d.m.Tick(now)
	}
	d.perform()
}

func (r *Roster) equal(o *Roster) bool {
	return slices.Equal(r.Members, o.Members) && r.Conf.Index == o.Conf.Index && slices.Equal(r.Conf.Voters, o.Conf.Voters) &&
		slices.Equal(r.Conf.Outgoing, o.Conf.Outgoing) && slices.Equal(r.Conf.Learners, o.Conf.Learners)
}

// perform does what the machine wants.
func (d *Driver) perform() {
	d.m.Take(&d.fx)
	for i := range d.fx.Sends {
		d.buf = d.fx.Sends[i].Message.Append(d.buf[:0])
		d.o.Send(d.fx.Sends[i].To, d.buf)
	}
	for _, e := range d.fx.Ends {
		d.say(func() {
			d.o.Logger.Info("asking for the end of an incarnation", "incarnation", e.Number, "reason", e.Why.String())
		})
		d.o.End(e)
	}
	if d.fx.Changed {
		s := d.m.Status()
		d.status.Store(&s)
		d.say(func() { d.tell(&s) })
		if d.o.Changed != nil {
			d.o.Changed(s)
		}
	}
	if d.fx.Over && d.o.Over != nil {
		d.o.Over(d.m.life.number)
	}
}

// tell logs the status. Going into a minority is the one that somebody has to
// look at.
func (d *Driver) tell(s *Status) {
	if s.State == Minority {
		d.o.Logger.Warn("this node is in a minority and serves nothing", "text", s.Text+"; to do: "+s.Advice(), "incarnation", s.Incarnation)
	} else {
		d.o.Logger.Info("membership", "kind", s.State.String(), "text", s.Text, "incarnation", s.Incarnation)
	}
}

// say has a line written by the goroutine that may wait.
func (d *Driver) say(line func()) {
	select {
	case d.lines <- line:
	default:
	}
}

// write writes log lines until there are no more to come.
func (d *Driver) write() {
	for line := range d.lines {
		line()
	}
}
