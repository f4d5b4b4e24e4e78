package broker

import "errors"

// What routes nowhere on this node's View may have somewhere to go on the next: a
// binding that another node has answered, and that is on its way here. So before a
// publication is returned, dropped or refused for want of its exchange, the View
// is made sure to hold what anybody was told before, and what its publisher
// publishes meanwhile waits behind it. On a node that is alone there is nothing
// to wait for.

// ErrLater says that a publication has nowhere to go as far as this node knows,
// which may be less than others know. It was not taken, and neither was what is
// behind it: all of it is to be published again, in order and before anything
// else, when the publisher is not held any more.
var ErrLater = errors.New("broker: whether the message has somewhere to go is not known yet")

// judging is what a publisher knows of how fresh its View is.
type judging struct {
	// left is how many publications, from the next on, were there before the View
	// was made sure of: they are judged by it.
	left int
	// err is why it could not be made sure of; read when nothing is waited for.
	err error
}

// nowhere decides about a publication that has nowhere to go, the first of so
// many that are there: ErrLater if the View has to be made sure of first, an error
// if it can not be, nil if that is how it is.
func (p *Publisher) nowhere(there int) error {
	switch {
	case p.judging.left > 0:
		return p.judging.failure(p)
	case p.s.system:
		return nil // a copy for who traces is not waited for
	}
	p.judging = judging{left: there}
	p.waits.Add(1)
	if p.s.b.o.Catalog.Pass(p.passed) {
		return ErrLater
	}
	p.waits.Add(-1)
	return nil
}

// passed says that the View is made sure of, in the catalog's turn.
func (p *Publisher) passed(err error) {
	p.judging.err = err
	p.opened()
}

// judged notes that a publication was decided about.
func (p *Publisher) judged() {
	if p.judging.left > 0 {
		p.judging.left--
	}
}

func (j *judging) failure(p *Publisher) error {
	if j.err == nil {
		return nil
	}
	return &Error{Kind: Unavailable, Resource: VHostResource, Name: p.s.vhost, VHost: p.s.vhost, Err: j.err}
}

// lost reports whether what routing gave is that there is nowhere to go.
func lost(r *route, err error) bool {
	if err != nil {
		var e *Error
		return errors.As(err, &e) && e.Kind == NotFound && e.Resource == ExchangeResource
	}
	return len(r.targets) == 0 && len(r.replies) == 0
}
