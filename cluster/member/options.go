package member

import (
	"errors"
	"fmt"
	"time"
)

// Options of a Machine. A zero duration means its default.
type Options struct {
	// Self is this node's id. Required.
	Self uint64
	// Beat is the time between two beats. Default: 250 ms.
	Beat time.Duration
	// Lease is how long a node serves after a beat that a majority answered.
	// Default: 2 s.
	Lease time.Duration
	// Silence is how long a voter hears nothing before it says so. It must be
	// longer than Lease by what two clocks may differ. Default: 3 s.
	Silence time.Duration
	// CallOff is how long a leader waits for a majority of reports. Default: 1 s.
	CallOff time.Duration
}

// minMargin is by how much Silence exceeds Lease at least: a twentieth of
// Lease, for clocks that differ in speed by one percent each.
const minMargin = 20

func (o Options) withDefaults() Options {
	fill := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	fill(&o.Beat, 250*time.Millisecond)
	fill(&o.Lease, 2*time.Second)
	fill(&o.Silence, 3*time.Second)
	fill(&o.CallOff, time.Second)
	return o
}

// Validate reports every fault of the options, defaults filled in.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.Self == 0 {
		errs = append(errs, errors.New("member: no node id"))
	}
	if o.Beat <= 0 || o.CallOff <= 0 {
		errs = append(errs, fmt.Errorf("member: beat %v and call-off %v must be positive", o.Beat, o.CallOff))
	}
	if o.Lease < 4*o.Beat {
		errs = append(errs, fmt.Errorf("member: a lease of %v is shorter than four beats of %v", o.Lease, o.Beat))
	}
	if o.Silence < o.Lease+o.Lease/minMargin {
		errs = append(errs, fmt.Errorf("member: a silence of %v does not outlast a lease of %v", o.Silence, o.Lease))
	}
	return errors.Join(errs...)
}
