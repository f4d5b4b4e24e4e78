package transport

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

func TestStreamsOfAPair(t *testing.T) {
	a, b := pair(t)
	asks, serves := a.data.stream(t, true), b.data.stream(t, false)
	if asks.Peer() != 2 || serves.Peer() != 1 {
		t.Fatal(asks.Peer(), serves.Peer())
	}
	if other := b.data.stream(t, true); other.Peer() != 1 {
		t.Fatal(other.Peer())
	}
	head := []byte("he")
	if !asks.Send(Frame{FirstType, head, []byte("llo")}, Frame{FirstType + 1, nil, nil}) {
		t.Fatal("not sent")
	}
	copy(head, "xx")
	if got := receive(t, b.data.frames); got != string(rune(FirstType))+"hello" {
		t.Fatalf("%q", got)
	}
	if got := receive(t, b.data.frames); got != string(rune(FirstType+1)) {
		t.Fatalf("%q", got)
	}
	serves.Send(Frame{FirstType, []byte("back"), nil})
	if got := receive(t, a.data.frames); got != string(rune(FirstType))+"back" {
		t.Fatalf("%q", got)
	}
}

func TestStreamKeepsOrder(t *testing.T) {
	a, b := pair(t)
	s := a.data.stream(t, true)
	const frames = 3000
	filler := bytes.Repeat([]byte("."), 40<<10)
	go func() {
		for i := range frames {
			f := Frame{FirstType, []byte(strconv.Itoa(i) + ":"), filler[:i*7%len(filler)]}
			for s.Queued() > 8<<20 {
				runtime.Gosched()
			}
			s.Send(f)
		}
	}()
	for i := range frames {
		got := receive(t, b.data.frames)
		want := string(rune(FirstType)) + strconv.Itoa(i) + ":" + string(filler[:i*7%len(filler)])
		if got != want {
			t.Fatalf("frame %d: %.20q, %d bytes, want %d", i, got, len(got), len(want))
		}
	}
}

func TestStreamEndsAndIsOpenedAgain(t *testing.T) {
	a, b := pair(t)
	s := a.data.stream(t, true)
	b.data.stream(t, false)
	why := errors.New("enough")
	s.Close(why)
	if err := receive(t, a.data.closed); !errors.Is(err, why) {
		t.Fatal(err)
	}
	if err := receive(t, b.data.closed); !brokenByPeer(err) {
		t.Fatal(err)
	}
	if s.Send(Frame{Type: FirstType}) {
		t.Fatal("a closed stream takes frames")
	}
	again := a.data.stream(t, true)
	b.data.stream(t, false)
	if !again.Send(Frame{FirstType, []byte("new"), nil}) {
		t.Fatal("not sent")
	}
	if got := receive(t, b.data.frames); got[1:] != "new" {
		t.Fatalf("%q", got)
	}
}

// A handler that does not come back stops the sender at its bound, and the
// sender is told; nothing else of the pair notices.
func TestSlowHandler(t *testing.T) {
	founder := testTrust(t, testCluster)
	oa := options(t, founder)
	oa.DataQueueBytes = 4 << 20
	a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
	release := make(chan struct{})
	b.data.gate = release
	mesh(a, b)
	s := a.data.stream(t, true)
	body := make([]byte, 1<<20)
	sent := 0
	for s.Send(Frame{FirstType, nil, body}) {
		if sent++; s.Queued() > 8<<20 {
			t.Fatalf("%d bytes wait", s.Queued())
		}
	}
	if sent < 3 {
		t.Fatalf("%d frames", sent)
	}
	if err := receive(t, a.data.closed); !errors.Is(err, ErrOverflow) {
		t.Fatal(err)
	}
	b.up(ClassRaft)
	a.up(ClassRaft)
	close(release)
	receive(t, b.data.closed)
}

func TestFrameTypesOfItsOwn(t *testing.T) {
	a, _ := pair(t)
	s := a.data.stream(t, true)
	defer func() {
		if recover() == nil {
			t.Error("a frame of the transport's own type was taken")
		}
		if !s.Send(Frame{Type: FirstType}) {
			t.Error("the stream is stuck")
		}
	}()
	s.Send(Frame{Type: typePing})
}

// A patient clock's pauses between dials do not end by themselves.
type patientClock struct {
	clock.Clock
	patient atomic.Bool
}

func (c *patientClock) NewTimer(d time.Duration) clock.Timer {
	if c.patient.Load() && d <= 2*backoffMax {
		d = time.Hour
	}
	return c.Clock.NewTimer(d)
}

// A peer that closed a stream since it had no life is dialled as soon as it has one.
func TestAlive(t *testing.T) {
	founder := testTrust(t, testCluster)
	oa, c := options(t, founder), &patientClock{Clock: birthClock()}
	oa.Clock = c
	a, b := start(t, oa), start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	a.data.stream(t, true)
	c.patient.Store(true)
	b.data.stream(t, false).Close(errors.New("starting"))
	receive(t, a.data.closed)
	a.Alive(7) // is no peer
	a.Alive(2)
	a.data.stream(t, true)
}
