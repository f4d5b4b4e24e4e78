package broker

// System returns a session of the node itself in a vhost, for what operators
// order: every permission is granted, and names that only the broker makes may
// be made. It belongs to no connection, has no consumers and is not closed.
func (b *Broker) System(vhost string) *Session {
	return &Session{b: b, vhost: vhost, system: true}
}
