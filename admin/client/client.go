// Package client asks a running node over the unix socket in its data directory.
// It is used by the command line; it starts no goroutine that outlives a call
// but those of net/http, which Close ends.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
)

// ErrNotRunning says that no node uses the directory.
var ErrNotRunning = errors.New("no node is running")

// maxAnswer bounds an answer.
const maxAnswer = 64 << 20

// A Client asks the node of one data directory.
type Client struct {
	dir  string
	http http.Client
}

// New returns a client of the node that uses dir.
func New(dir string) *Client {
	return &Client{dir: dir, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return admin.DialSocket(ctx, dir) },
	}}}
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status implements admin.Operations.
func (c *Client) Status(ctx context.Context) (s admin.Status, err error) {
	err = c.get(ctx, "/api/v1/status", &s)
	return s, err
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w with data directory %s", ErrNotRunning, c.dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("ask the node in %s: only the user it runs as may do that: %w", c.dir, err)
	case err != nil:
		return fmt.Errorf("ask the node in %s: %w", c.dir, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode != http.StatusOK {
		var f api.Failure
		if json.NewDecoder(body).Decode(&f) != nil || f.Error == "" {
			f.Error = resp.Status
		}
		return fmt.Errorf("the node in %s answers: %s", c.dir, f.Error)
	}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the node in %s: %w", c.dir, err)
	}
	return nil
}

// Status is what a node answers to Status.
type Status = admin.Status

// Shard is one shard of a Status.
type Shard = admin.Shard
