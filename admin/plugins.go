package admin

import (
	"context"
	"iter"
)

// Plugins are what RabbitMQ's users know as plugins. Here everything that is
// there is built in.
type Plugins interface {
	// Plugins lists every plugin whose name is known, by name.
	Plugins(ctx context.Context, q PluginsQuery) iter.Seq2[Plugin, error]
}

// PluginsQuery asks for all.
type PluginsQuery struct{}

// A Plugin is a feature under the name that RabbitMQ has for it.
type Plugin struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// Built says that this version has it.
	Built bool `json:"built"`
	// Why says what there is instead, or that it comes later, if it is not built.
	Why string `json:"why,omitempty"`
}
