package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/archive"
)

// Imported is what came of an import.
type Imported = admin.Imported

// ExportDefinitions implements admin.Definitions.
func (c *Client) ExportDefinitions(ctx context.Context) (json.RawMessage, error) {
	resp, err := c.get(ctx, "/api/v1/definitions", struct{}{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, archive.MaxDefinitions))
	if err != nil {
		return nil, fmt.Errorf("read the definitions of the node in %s: %w", c.dir, err)
	}
	return text, nil
}

// ImportDefinitions implements admin.Definitions.
func (c *Client) ImportDefinitions(ctx context.Context, document json.RawMessage) (Imported, error) {
	var any json.RawMessage
	if err := json.Unmarshal(document, &any); err != nil {
		return Imported{}, admin.Invalidf("Failed to deserialise input (format: JSON): %v", err)
	}
	return act[json.RawMessage, Imported](ctx, c, "/api/v1/definitions", document)
}
