package broker

// A publisher is held while a shard that it gave to can take no more, while a
// budget for queues in memory is used up and the publisher's messages go there,
// or while an alarm is up. It counts what it waits for; what ends it comes from
// a shard's turn or from a gate.

// Held reports whether the publisher has to wait before it publishes more, and
// what its client is told if it is not for a shard. The sink's Ready follows.
func (p *Publisher) Held() (held bool, why Alarms) {
	b := p.s.b
	if p.waits.Load() == 0 && !b.alarms.shut.Load() && !(p.toMemory && b.memory.shut.Load()) && p.over == nil {
		p.noteWait("")
		return false, 0
	}
	return p.hold()
}

func (p *Publisher) hold() (bool, Alarms) {
	b := p.s.b
	why := b.Alarms()
	memory := p.toMemory && b.memory.shut.Load()
	if memory {
		why |= LowMemory
	}
	told := why &^ LowLog
	if p.over != nil && !p.over.shut.Load() {
		p.over = nil
	}
	if p.over != nil {
		told |= LowMemory
	}
	if p.waits.Load() > 0 {
		p.noteWait(p.reason(why))
		return true, told
	}
	// One reason is enough: who is told asks again.
	p.waits.Add(1)
	if b.alarms.wait(p) || memory && b.memory.wait(p) || p.over != nil && p.over.wait(p) {
		p.noteWait(p.reason(why))
		return true, told
	}
	p.waits.Add(-1) // it opened just now
	p.over = nil
	p.noteWait("")
	return false, 0
}

// reason says in words why the publisher waits.
func (p *Publisher) reason(why Alarms) string {
	switch {
	case p.s.b.Alarms() != 0:
		return why.String()
	case p.over != nil:
		return p.over.String()
	case why != 0:
		return p.s.b.memory.String()
	case p.judging.left > 0:
		return "what it published has nowhere to go as far as this node knows: the catalog is asked"
	}
	return "a shard has taken as much as it may: its disk is not faster"
}

// noteWait has operators see why the publisher waits, "" that it does not.
func (p *Publisher) noteWait(why string) {
	if why == "" && !p.noted {
		return
	}
	p.noted = why != ""
	p.s.b.waiters.note(p, why)
}

// opened says that one of those that the publisher waits for takes more.
func (p *Publisher) opened() {
	if p.waits.Add(-1) == 0 {
		p.sink.Ready()
	}
}

// Close has the publisher forgotten: its sink hears of nothing but what it has
// published already.
func (p *Publisher) Close() {
	p.s.b.alarms.forget(p)
	p.s.b.memory.forget(p)
	if p.over != nil {
		p.over.forget(p)
	}
	p.noteWait("")
}
