package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/archive"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard"
)

// What one turn of a shard reads for a backup: little enough that nobody waits
// for it.
const (
	browseMessages = 1000
	browseBytes    = 1 << 20
)

// Backup implements admin.Backups. The definitions are of one moment; each
// queue is of the moment in which its last message was read.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	v := n.catalog.View()
	definitions, err := n.exportDefinitions(v)
	if err != nil {
		return err
	}
	queues := durable(v)
	a, err := archive.NewWriter(w, archive.Manifest{
		ID: rand.Text(), Node: n.o.Name, Version: n.o.Version, Created: n.o.Wall().UTC().Format("2006-01-02T15:04:05Z"), Queues: len(queues),
	})
	if err != nil {
		return err
	}
	if err := a.Definitions(definitions); err != nil {
		return err
	}
	for _, q := range queues {
		if err := n.backupQueue(ctx, a, v.VHostByID(q.VHost).Name, q); err != nil {
			return err
		}
	}
	total, err := a.Close()
	if err != nil {
		return err
	}
	n.log.Info("backup taken", "text", fmt.Sprintf("%d queues, %d messages", total.Queues, total.Messages))
	return nil
}

// durable lists the queues whose messages outlive the node, by id: those in
// which the messages of a delayed exchange wait, too.
func durable(v *catalog.View) (out []*catalog.Queue) {
	for q := range v.Queues(0) {
		if q.Kind == catalog.Schedule {
			if x := v.VHostByID(q.VHost).Exchange(q.Name); x == nil || !x.Durable {
				continue
			}
		}
		if q.Durable && !q.Exclusive {
			out = append(out, q)
		}
	}
	return out
}

// backupQueue writes one queue. That its messages can not be read is said in the
// archive, and does not end the backup: those of the others are wanted all the
// more.
func (n *Node) backupQueue(ctx context.Context, a *archive.Writer, vhost string, q *catalog.Queue) error {
	if err := a.Queue(archive.Queue{VHost: vhost, Name: q.Name, Schedule: q.Kind == catalog.Schedule}); err != nil {
		return err
	}
	gone, err := n.readQueue(ctx, q, func(m *shard.Browsed) error {
		return a.Message(&archive.Message{
			Seq: m.Seq, Priority: m.Priority, Redelivered: m.Redelivered, Acquired: m.Acquired, Failed: m.Failed,
			HasTTL: m.HasTTL, TTL: m.TTL, Blob: m.Blob,
		})
	})
	var unread *unreadError
	switch {
	case errors.As(err, &unread):
		n.log.Warn("the messages of a queue are not in the backup", "vhost", vhost, "queue", q.Name, "err", err)
		return a.Unavailable(unread.Error())
	case err != nil:
		return err
	}
	return a.EndQueue(gone)
}

// An unreadError says why a queue can not be read.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return e.err.Error() }
func (e *unreadError) Unwrap() error { return e.err }

// readQueue calls each with every message of a queue, and returns which of them
// have left it when the last was read.
func (n *Node) readQueue(ctx context.Context, q *catalog.Queue, each func(*shard.Browsed) error) (gone []uint64, err error) {
	t := n.shards.Load()
	if why := t.refused[q.Shard]; why != nil {
		return nil, &unreadError{fmt.Errorf("its shard is refused: %w", why)}
	}
	s := t.open[q.Shard]
	if s == nil {
		return nil, &unreadError{errors.New("its shard is not served by this node")}
	}
	b := &shard.Browse{Queue: q.ID, Messages: browseMessages, Bytes: browseBytes}
	for {
		parts := make(chan shard.BrowsePart, 1)
		s.Browse(b, func(p shard.BrowsePart) { parts <- p })
		var p shard.BrowsePart
		select {
		case p = <-parts:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.Err != nil {
			return nil, &unreadError{p.Err}
		}
		for i := range p.Messages {
			if err := each(&p.Messages[i]); err != nil {
				return nil, err
			}
		}
		if p.End {
			return p.Gone, nil
		}
	}
}

var _ admin.Backups = (*Node)(nil)
