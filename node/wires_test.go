package node

import (
	"context"
	"errors"
	"net"
	"sync"
)

// wires are the network between the nodes of a test, which can be cut. Nodes dial
// through it; a connection of two that are cut from each other ends.
type wires struct {
	mu    sync.Mutex
	names map[string]string // of nodes by the address of their port
	cuts  map[[2]string]bool
	conns map[net.Conn][2]string
}

var errCut = errors.New("the network is cut")

func newWires() *wires {
	return &wires{names: map[string]string{}, cuts: map[[2]string]bool{}, conns: map[net.Conn][2]string{}}
}

// dialer is how a node reaches others.
func (w *wires) dialer(from string) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		w.mu.Lock()
		ends := [2]string{from, w.names[addr]}
		cut := w.cut(ends)
		w.mu.Unlock()
		if cut {
			return nil, errCut
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut(ends) {
			_ = c.Close()
			return nil, errCut
		}
		w.conns[c] = ends
		return wire{c, w}, nil
	}
}

// cut reports whether two nodes are cut from each other; w.mu is held.
func (w *wires) cut(ends [2]string) bool {
	return w.cuts[ends] || w.cuts[[2]string{ends[1], ends[0]}]
}

// name notes at which address a node is.
func (w *wires) name(r *running) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[r.Addrs()["cluster"]] = r.o.Name
}

// sever cuts two nodes from each other, mend takes it back.
func (w *wires) sever(a, b *running) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]string{a.o.Name, b.o.Name}] = true
	for c, ends := range w.conns {
		if w.cut(ends) {
			_ = c.Close()
			delete(w.conns, c)
		}
	}
}

func (w *wires) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
}

// wire is a connection that is forgotten when it ends.
type wire struct {
	net.Conn
	w *wires
}

func (c wire) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c.Conn)
	c.w.mu.Unlock()
	return c.Conn.Close()
}
