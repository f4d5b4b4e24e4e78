package protocol

import (
	"errors"
	"net"
)

// ErrFenced says that this node may serve nobody at the moment: it has lost the
// majority of its cluster. It is the cause with which the context of Serve ends
// then, and reading from a client or writing to one returns it, so that nothing is
// taken or told behind the moment. Serve gives back what waits to be written,
// calls Farewell, writes its goodbye and returns without waiting for long.
var ErrFenced = errors.New("the node has lost the majority of its cluster")

// ErrMaintenance is the cause with which the context of Serve ends when the node is
// put under maintenance: it lives, and its clients go elsewhere for a while.
var ErrMaintenance = errors.New("the node was put into maintenance mode")

// Farewell lets through what is read and written from here on on a connection of
// a node that may serve nobody: the goodbye and its answer. On any other
// connection it does nothing.
func Farewell(c net.Conn) {
	if f, ok := c.(interface{ Farewell() }); ok {
		f.Farewell()
	}
}
