package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/archive"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// restoring is the component of the parameter that says how far a restore has
// come. It is in the catalog while one is under way, so that it is known after
// any crash.
const restoring = "warren-restore"

// progress is its value; its name is the archive's id.
type progress struct {
	Next int `json:"next"`
}

// restores returns the restore that is under way, if there is one.
func restores(v *catalog.View) (id string, p progress, ok bool) {
	for x := range v.Parameters() {
		if x.VHost == 0 && x.Component == restoring {
			_ = json.Unmarshal(x.Value, &p) // ours; if it is damaged the restore begins anew
			return x.Name, p, true
		}
	}
	return "", p, false
}

func (n *Node) setRestore(ctx context.Context, id string, next int) error {
	value, err := json.Marshal(progress{next})
	if err != nil {
		return fmt.Errorf("note the progress of a restore: %w", err)
	}
	_, err = n.order(ctx, &catalog.SetParameter{Component: restoring, Name: id, Value: value}, id)
	return err
}

// occupied says what stands in the way of a restore.
func occupied(v *catalog.View) string {
	exchanges := 0
	for h := range v.VHosts() {
		for x := range h.Exchanges("") {
			if !x.System {
				exchanges++
			}
		}
	}
	if queues := v.QueueCount(); queues+exchanges > 0 {
		return fmt.Sprintf("%d queues and %d exchanges", queues, exchanges)
	}
	return ""
}

// BeginRestore implements admin.Backups.
func (n *Node) BeginRestore(ctx context.Context, q admin.BeginRestore) (st admin.Restoring, err error) {
	if q.Archive == "" {
		return st, admin.Invalidf("the archive has no id")
	}
	v := n.catalog.View()
	id, p, under := restores(v)
	switch has := occupied(v); {
	case under && id == q.Archive:
		st.Next, st.Resumed = p.Next, true
	case under && !q.Force:
		return st, &admin.Error{Kind: admin.InUse, Text: fmt.Sprintf("the restore of another archive (%s) was begun and not ended: end it first, or force this one", id)}
	case has != "" && !q.Force:
		return st, &admin.Error{Kind: admin.NotEmpty, Text: "the node has " + has + ": an archive is restored into an empty node, unless that is forced"}
	}
	if under && id != q.Archive {
		if _, err := n.order(ctx, &catalog.ClearParameter{Component: restoring, Name: id}, id); err != nil {
			return st, err
		}
	}
	if err := n.setRestore(ctx, q.Archive, st.Next); err != nil {
		return st, err
	}
	n.log.Info("restore begun", "text", fmt.Sprintf("archive %s, from queue %d on", q.Archive, st.Next))
	st.Imported, err = n.ImportDefinitions(ctx, q.Definitions)
	return st, err
}

// EndRestore implements admin.Backups.
func (n *Node) EndRestore(ctx context.Context, q admin.ArchiveID) (admin.Done, error) {
	_, err := n.order(ctx, &catalog.ClearParameter{Component: restoring, Name: q.Archive}, q.Archive)
	if err == nil {
		n.log.Info("restore ended", "text", "archive "+q.Archive)
	}
	return admin.Done{}, err
}

// RestoreQueue implements admin.Backups.
func (n *Node) RestoreQueue(ctx context.Context, q admin.RestoreQueue, from io.Reader) (admin.Restored, error) {
	var none admin.Restored
	v := n.catalog.View()
	if id, p, ok := restores(v); !ok || id != q.Archive || q.Index < p.Next {
		return none, admin.Invalidf("queue %d of archive %s is not to be restored now", q.Index, q.Archive)
	}
	have := v.Queue(q.VHost, q.Name)
	if q.Schedule {
		have = scheduleOf(v, v.Exchange(q.VHost, q.Name))
	}
	if have == nil {
		return none, admin.NotFoundf(admin.QueueThing, q.Name)
	}
	s := n.shards.Load().open[have.Shard]
	if s == nil {
		return none, &admin.Error{Kind: admin.Unavailable, Thing: admin.QueueThing, Name: q.Name, Text: "the queue's shard is not served by this node, or the queue is not durable"}
	}
	counts, err := countsOf(ctx, s, have.ID)
	if err != nil {
		return none, err
	}
	whole := true // what is in the queue after a failure came from here
	switch held := counts.Ready + counts.Unacked; {
	case held > 0 && q.Again:
		if err := purge(ctx, s, have.ID); err != nil {
			return none, err
		}
	case held > 0 && !q.Force:
		return none, &admin.Error{Kind: admin.NotEmpty, Thing: admin.QueueThing, Name: q.Name, Text: fmt.Sprintf("queue '%s' in vhost '%s' holds %d messages", q.Name, q.VHost, held)}
	case held > 0:
		whole = false
	}
	x := &restorer{s: s, queue: have.ID, changed: make(chan struct{}, 1)}
	done, err := x.run(ctx, from)
	if err != nil {
		if whole {
			// With a context of its own: the caller may be gone.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), purgeTime)
			defer cancel()
			err = errors.Join(err, purge(ctx, s, have.ID))
		}
		return none, err
	}
	return done, n.setRestore(ctx, q.Archive, q.Index+1)
}

// scheduleOf returns the queue in which the messages of an exchange wait, nil if
// it does not delay any.
func scheduleOf(v *catalog.View, x *catalog.Exchange) *catalog.Queue {
	if x == nil {
		return nil
	}
	return v.QueueByID(x.Schedule)
}

// purgeTime bounds how long a restore that failed may take to clean up.
const purgeTime = 20 * time.Second

func countsOf(ctx context.Context, s shard.Shard, id shard.QueueID) (c shard.Counts, err error) {
	err = wait(ctx, func(done func(error)) {
		s.Counts(id, func(got shard.Counts, err error) { c = got; done(err) })
	})
	return c, err
}

func purge(ctx context.Context, s shard.Shard, id shard.QueueID) error {
	return wait(ctx, func(done func(error)) { s.Purge(id, func(_ uint64, err error) { done(err) }) })
}

// wait returns when done was called, or ctx ended.
func wait(ctx context.Context, f func(done func(error))) error {
	ch := make(chan error, 1)
	f(func(err error) { ch <- err })
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mostAtOnce is how many messages of a restore are published and not confirmed.
const mostAtOnce = 4096

// A restorer publishes the messages of one queue and hears of their confirms.
type restorer struct {
	s       shard.Shard
	queue   shard.QueueID
	sent    uint64
	changed chan struct{} // one waits if something was answered

	mu struct {
		sync.Mutex
		answered, refused, unknown uint64
	}
}

// Confirmed implements shard.Confirms.
func (x *restorer) Confirmed(_ uint64, n uint32, refused bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.answered += uint64(n)
	if refused {
		x.mu.refused += uint64(n)
	}
}

// Unknown implements shard.Confirms.
func (x *restorer) Unknown(_ uint64, n uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.answered += uint64(n)
	x.mu.unknown += uint64(n)
}

// Wake implements shard.Confirms.
func (x *restorer) Wake() {
	select {
	case x.changed <- struct{}{}:
	default:
	}
}

// run publishes all messages and waits until they are confirmed.
func (x *restorer) run(ctx context.Context, from io.Reader) (admin.Restored, error) {
	err := x.publishAll(ctx, from)
	if err == nil {
		err = x.await(ctx, 0)
	}
	if err != nil {
		x.drain(ctx)
	}
	return admin.Restored{Messages: x.sent}, err
}

// drain waits until nothing can come into the queue any more: what is removed
// from it next must be all.
func (x *restorer) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), purgeTime)
	defer cancel()
	for ctx.Err() == nil {
		x.mu.Lock()
		open := x.sent - x.mu.answered
		x.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-x.changed:
		case <-ctx.Done():
		}
	}
}

func (x *restorer) publishAll(ctx context.Context, from io.Reader) error {
	r, err := archive.NewReader(from)
	if err != nil {
		return admin.Invalidf("%v", err)
	}
	for {
		item, err := r.Next()
		var damage *archive.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &damage):
			return admin.Invalidf("%v", err)
		case err != nil:
			return err
		case item.Gone != nil || item.Definitions != nil:
			return admin.Invalidf("a queue is restored from its messages alone")
		}
		if err := x.publish(ctx, item.Messages); err != nil {
			return err
		}
	}
}

func (x *restorer) publish(ctx context.Context, ms []archive.Message) error {
	for i := range ms {
		m := &ms[i]
		msg, err := message.Parse(m.Blob)
		if err != nil {
			return admin.Invalidf("message %d: %v", x.sent+1, err)
		}
		p := shard.Publish{
			Message: &msg, Queues: []shard.QueueID{x.queue}, TTL: m.TTL, HasTTL: m.HasTTL, Priority: m.Priority,
			Acquired: m.Acquired, Failed: m.Failed, To: x, Tag: x.sent + 1,
		}
		if m.Redelivered {
			p.Acquired = max(p.Acquired, 1)
		}
		x.sent++
		if !x.s.Publish([]shard.Publish{p}) {
			if err := x.await(ctx, mostAtOnce/2); err != nil {
				return err
			}
		}
		if err := x.await(ctx, mostAtOnce); err != nil {
			return err
		}
	}
	return nil
}

// await returns when at most left publishes are not answered.
func (x *restorer) await(ctx context.Context, left uint64) error {
	for {
		x.mu.Lock()
		open, refused, unknown := x.sent-x.mu.answered, x.mu.refused, x.mu.unknown
		x.mu.Unlock()
		switch {
		case refused > 0:
			return &admin.Error{Kind: admin.Invalid, Thing: admin.QueueThing, Text: "the queue is full and refuses messages of its own backup"}
		case unknown > 0:
			return &admin.Error{Kind: admin.Unavailable, Text: "the shard lost its leader: whether messages were stored is not known"}
		case open <= left:
			return nil
		}
		select {
		case <-x.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
