package admin

import (
	"context"
	"encoding/json"
)

// Definitions are everything of a node but its messages, in RabbitMQ's form.
type Definitions interface {
	ExportDefinitions(ctx context.Context) (json.RawMessage, error)
	// ImportDefinitions makes what a document names. What exists stays: a queue,
	// exchange or binding as it is, everything else with the properties that the
	// document says.
	ImportDefinitions(ctx context.Context, document json.RawMessage) (Imported, error)
}

// Imported is what came of an import.
type Imported struct {
	// Made counts what the document names, by kind.
	Made map[string]int `json:"made"`
	// Kept names, at most a few, what exists with other properties and stayed.
	Kept []string `json:"kept,omitempty"`
	// Ignored says what means nothing to this version, and was left out or kept
	// for a later one.
	Ignored []string `json:"ignored,omitempty"`
}
