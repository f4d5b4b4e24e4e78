// Package client asks a running node over the unix socket in its data directory.
// It is used by the command line; it starts no goroutine that outlives a call
// but those of net/http, which Close ends.
package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/warrenmq/warren/admin"
)

// ErrNotRunning says that no node uses the directory.
var ErrNotRunning = errors.New("no node is running")

// ErrNotAllowed says that the node runs as another user of the machine.
var ErrNotAllowed = errors.New("only the user it runs as may do that")

// A Client asks the node of one data directory.
type Client struct {
	dir  string
	http http.Client
}

var _ admin.Operations = (*Client)(nil)

// New returns a client of the node that uses dir.
func New(dir string) *Client {
	return &Client{dir: dir, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return admin.DialSocket(ctx, dir) },
	}}}
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// do sends a request.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w with data directory %s", ErrNotRunning, c.dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("ask the node in %s: %w: %w", c.dir, ErrNotAllowed, err)
	case err != nil:
		return nil, fmt.Errorf("ask the node in %s: %w", c.dir, err)
	}
	return resp, nil
}
