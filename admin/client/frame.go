package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
)

// maxAnswer bounds an answer that is one value. A list is read item by item.
const maxAnswer = 64 << 20

// list asks for a list and yields its items as they come.
func list[Q, T any](ctx context.Context, c *Client, path string, q Q) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		resp, err := c.get(ctx, path, q)
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		items := json.NewDecoder(resp.Body)
		for {
			var item T
			switch err := items.Decode(&item); {
			case errors.Is(err, io.EOF):
				if err := c.trail(resp); err != nil {
					yield(none, err)
				}
				return
			case err != nil:
				if ctx.Err() != nil {
					err = ctx.Err() // what it does to the connection is not why
				}
				yield(none, fmt.Errorf("read the answer of the node in %s: %w", c.dir, err))
				return
			}
			if !yield(item, nil) {
				return
			}
		}
	}
}

// trail returns what a list that failed on the way says after its last item.
func (c *Client) trail(resp *http.Response) error {
	text := resp.Trailer.Get(api.TrailError)
	if text == "" {
		return nil
	}
	return c.failure([]byte(text), resp.Status)
}

// ask asks a question.
func ask[Q, A any](ctx context.Context, c *Client, path string, q Q) (a A, err error) {
	resp, err := c.get(ctx, path, q) //nolint:bodyclose // read closes it
	if err != nil {
		return a, err
	}
	return a, c.read(resp, &a)
}

// act gives an order.
func act[Q, A any](ctx context.Context, c *Client, path string, q Q) (a A, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, fmt.Errorf("write the order %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+path, bytes.NewReader(body))
	if err != nil {
		return a, fmt.Errorf("order %s: %w", path, err)
	}
	resp, err := c.good(req) //nolint:bodyclose // read closes it
	if err != nil {
		return a, err
	}
	return a, c.read(resp, &a)
}

func (c *Client) get(ctx context.Context, path string, q any) (*http.Response, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("write the question %s: %w", path, err)
	}
	if string(text) != "{}" {
		path += "?q=" + url.QueryEscape(string(text))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", path, err)
	}
	return c.good(req)
}

// good sends a request and returns the response if it is no failure.
func (c *Client) good(req *http.Request) (*http.Response, error) {
	resp, err := c.do(req)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of the node in %s: %w", c.dir, err)
	}
	return nil, c.failure(text, resp.Status)
}

// failure returns the error that a node told of.
func (c *Client) failure(text []byte, status string) error {
	e := &admin.Error{}
	if json.Unmarshal(text, e) != nil || e.Text == "" {
		e = &admin.Error{Kind: admin.Internal, Text: status}
	}
	return fmt.Errorf("the node in %s answers: %w", c.dir, e)
}

func (c *Client) read(resp *http.Response, into any) error {
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the node in %s: %w", c.dir, err)
	}
	return nil
}
