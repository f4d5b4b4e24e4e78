package admin

import (
	"context"
	"iter"
)

// Exchanges are what there is to ask about exchanges and bindings.
type Exchanges interface {
	// Exchanges lists the exchanges of a vhost by name, the default one too.
	Exchanges(ctx context.Context, q VHostQuery) iter.Seq2[Exchange, error]
	// Bindings lists the bindings of a vhost: first those that every queue has
	// to the default exchange, then by source.
	Bindings(ctx context.Context, q VHostQuery) iter.Seq2[Binding, error]
}

// VHostQuery names a vhost.
type VHostQuery struct {
	VHost string `json:"vhost"`
}

// Exchange is an exchange as it was declared.
type Exchange struct {
	Name       string     `json:"name"`
	VHost      string     `json:"vhost"`
	Type       string     `json:"type"`
	Durable    bool       `json:"durable"`
	AutoDelete bool       `json:"auto_delete"`
	Internal   bool       `json:"internal"`
	Arguments  []Argument `json:"arguments,omitempty"`
	Policy     string     `json:"policy,omitempty"`
	// Delayed is how many messages wait in it, of an exchange that delays.
	Delayed *int64 `json:"messages_delayed,omitempty"`
}

// Binding leads from a source to a queue or an exchange.
type Binding struct {
	Source          string     `json:"source"`
	Destination     string     `json:"destination"`
	DestinationKind string     `json:"destination_kind"` // queue, exchange
	RoutingKey      string     `json:"routing_key"`
	Arguments       []Argument `json:"arguments,omitempty"`
	VHost           string     `json:"vhost"`
}
