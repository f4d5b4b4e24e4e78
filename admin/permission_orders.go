package admin

import "context"

// PermissionOrders change what users may do.
type PermissionOrders interface {
	SetPermission(ctx context.Context, q NewPermission) (Done, error)
	// ClearPermission takes a user's permissions in a vhost; to have had none is
	// no error.
	ClearPermission(ctx context.Context, q PermissionOf) (Done, error)
	SetTopicPermission(ctx context.Context, q NewTopicPermission) (Done, error)
	// ClearTopicPermission takes those of one exchange, or with Exchange empty of
	// all; to have had none is no error.
	ClearTopicPermission(ctx context.Context, q TopicPermissionOf) (Done, error)
}

// A PermissionOf says whose permission where is meant.
type PermissionOf struct {
	User  string `json:"user"`
	VHost string `json:"vhost"`
}

// A NewPermission is three patterns over names.
type NewPermission struct {
	PermissionOf
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// A TopicPermissionOf says whose permission is meant.
type TopicPermissionOf struct {
	PermissionOf
	Exchange string `json:"exchange"`
}

// A NewTopicPermission is two patterns over routing keys.
type NewTopicPermission struct {
	TopicPermissionOf
	Write string `json:"write"`
	Read  string `json:"read"`
}
