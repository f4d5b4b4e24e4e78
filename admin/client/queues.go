package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Queue is one queue.
	Queue = admin.Queue
	// QueueLive is what a queue holds.
	QueueLive = admin.QueueLive
	// QueueQuery says which queues.
	QueueQuery = admin.QueueQuery
	// PurgeQueue names a queue.
	PurgeQueue = admin.PurgeQueue
	// DeleteQueue names a queue and a condition.
	DeleteQueue = admin.DeleteQueue
	// Removed counts messages.
	Removed = admin.Removed
)

// Queues implements admin.Queues.
func (c *Client) Queues(ctx context.Context, q QueueQuery) iter.Seq2[Queue, error] {
	return list[QueueQuery, Queue](ctx, c, "/api/v1/queues", q)
}

// PurgeQueue implements admin.Queues.
func (c *Client) PurgeQueue(ctx context.Context, o PurgeQueue) (Removed, error) {
	return act[PurgeQueue, Removed](ctx, c, "/api/v1/queues/purge", o)
}

// DeleteQueue implements admin.Queues.
func (c *Client) DeleteQueue(ctx context.Context, o DeleteQueue) (Removed, error) {
	return act[DeleteQueue, Removed](ctx, c, "/api/v1/queues/delete", o)
}
