package broker

// A publisher is held while a shard that it gave to can take no more, while
// the node's memory for queues is full and the publisher's messages go there,
// or while an alarm is up. It counts what it waits for; what ends it comes from
// a shard's turn or from a gate.

// Held reports whether the publisher has to wait before it publishes more, and
// what the node is short of if that is why. The sink's Ready follows.
func (p *Publisher) Held() (held bool, why Alarms) {
	b := p.s.b
	if p.waits.Load() == 0 && !b.alarms.shut.Load() && !(p.toMemory && b.memory.shut.Load()) {
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
	if p.waits.Load() > 0 {
		return true, why
	}
	// One reason is enough: who is told asks again.
	p.waits.Add(1)
	if b.alarms.wait(p) || memory && b.memory.wait(p) {
		return true, why
	}
	p.waits.Add(-1) // it opened just now
	return false, 0
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
}
