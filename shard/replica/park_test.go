package replica

import (
	"testing"
	"time"
)

// at runs a turn at a time.
func (f *fake) at(d time.Duration) { f.s.Turn(d, f) }

// What nobody leads for is refused after a while; what may be in a log is not,
// and is applied if it was.
func TestPark(t *testing.T) {
	f := newFake(t, 1)
	f.publish(1, 2)
	f.at(time.Second)
	f.at(25 * time.Second)
	f.expect()
	f.publish(3)
	f.at(31 * time.Second)
	f.expect("refuse 1+1", "refuse 2+1", "refuse 3+1")
	f.publish(4)
	f.at(32 * time.Second)
	f.at(61 * time.Second)
	f.expect()
	f.lead(2) // in time
	f.settle()
	f.expect("confirm 4+1")

	f.publish(5)
	f.turn()
	es := f.flight
	f.flight = nil
	f.follow()
	f.publish(6)
	f.s.leader = 0
	f.at(70 * time.Second)
	f.at(101 * time.Second)
	f.expect("refuse 6+1", "unknown 5")
	f.commit(es...)
	f.lead(4)
	f.settle()
	f.expect()
	f.consume()
	f.settle()
	f.expect("deliver m4", "deliver m5")
}
