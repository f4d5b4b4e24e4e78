// Package node builds, starts and stops everything in one visible order. It is
// the only place that knows all parts.
package node

import (
	"context"
	"errors"
)

// A Node is one running broker.
type Node struct{ ready chan struct{} }

// New is written by the integrator.
func New(Options) (*Node, error) { return nil, errors.New("not built yet") }

// Run is written by the integrator.
func (n *Node) Run(context.Context) error { return nil }

// Ready is written by the integrator.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Addrs is written by the integrator.
func (n *Node) Addrs() map[string]string { return nil }
