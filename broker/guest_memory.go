package broker

// MemoryHeld reports whether the queues in this node's memory hold all they may:
// what sessions of other nodes publish to them waits then, as local publishers do.
// resume is called once when it may go on; it must not block, and may be called
// inside a shard's turn.
func (b *Broker) MemoryHeld(resume func()) bool { return b.memory.wait(&resumption{resume}) }

// A resumption is a waiter that calls a function.
type resumption struct{ f func() }

func (r *resumption) opened() { r.f() }
