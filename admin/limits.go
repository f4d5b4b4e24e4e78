package admin

import (
	"context"
	"encoding/json"
	"iter"
)

// Limits are bounds on what vhosts and users may have.
type Limits interface {
	// VHostLimits lists the vhosts that have limits, or the one that is named,
	// which has to exist.
	VHostLimits(ctx context.Context, q LimitsOf) iter.Seq2[LimitsList, error]
	// SetVHostLimits replaces the limits of a vhost; an empty object clears them.
	SetVHostLimits(ctx context.Context, q NewLimits) (Done, error)
	// ClearVHostLimits clears them; to have had none is an error.
	ClearVHostLimits(ctx context.Context, q LimitsOf) (Done, error)
	// UserLimits lists the users that have limits, or the one that is named, which
	// has to exist.
	UserLimits(ctx context.Context, q LimitsOf) iter.Seq2[LimitsList, error]
	// SetUserLimits sets those limits of a user that are given; -1 clears one.
	SetUserLimits(ctx context.Context, q NewLimits) (Done, error)
}

// LimitsOf names a vhost or a user; for a list, empty is all.
type LimitsOf struct {
	Name string `json:"name,omitempty"`
}

// NewLimits are limits to be set, as a JSON object.
type NewLimits struct {
	Name   string          `json:"name"`
	Limits json.RawMessage `json:"limits"`
}

// LimitsList is what limits a vhost or user has.
type LimitsList struct {
	Name   string          `json:"name"`
	Limits json.RawMessage `json:"limits"`
}
