package amqp091

// lingerBytes bounds what linger reads.
const lingerBytes = 64 << 20

// linger reads away what the client sent behind its connection.close, until it
// leaves or the time to close is over. To close a socket that holds unread data
// resets it, and the client would never see the answer: some write the close
// before what their channels still buffer.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.closeBy(c.f.o.CloseTimeout)
	if c.buf == nil {
		c.buf = make([]byte, minRead)
	}
	for left := lingerBytes; left > 0 && c.ctx.Err() == nil; {
		n, err := c.nc.Read(c.buf)
		if err != nil {
			return
		}
		left -= n
	}
}
