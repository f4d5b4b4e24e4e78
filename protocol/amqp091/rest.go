package amqp091

import "time"

// restLater has the reader look, after a while, whether anything was read
// since: once in that time for a connection that is used, never for one that
// is not.
func (c *conn) restLater() {
	if !c.active || c.resting || c.state != running {
		return
	}
	c.active, c.resting = false, true
	c.restAt = time.Now().Add(c.f.o.RestAfter) //nolint:forbidigo // a socket's deadline
	_ = c.nc.SetReadDeadline(c.restAt)
	if c.ctx.Err() != nil || c.out.due.Load() {
		_ = c.nc.SetReadDeadline(past()) // somebody wanted that just now
	}
}

// rest lets the memory go that a connection needed while it was used, if it
// was not since restLater. It is called when a deadline ended a read, whoever
// set it.
func (c *conn) rest() {
	if !c.resting {
		return
	}
	c.resting = false
	if time.Now().Before(c.restAt) { //nolint:forbidigo // a socket's deadline
		c.active = true // to look again
	}
	if c.active {
		return
	}
	if len(c.buf) > minRead && c.w-c.r <= minRead/2 {
		b := make([]byte, minRead)
		c.w = copy(b, c.buf[c.r:c.w])
		c.buf, c.r = b, 0
	}
	c.acks.list, c.acks.scratch = nil, nil
	c.pubs.open = nil
	for _, ch := range c.channels {
		ch.mu.Lock()
		if ch.mu.unacked.n == 0 {
			ch.mu.unacked.list = nil
		}
		ch.mu.Unlock()
	}
}
