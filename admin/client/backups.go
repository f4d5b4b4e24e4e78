package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/archive"
)

// Values of backups that callers of this package use.
type (
	// Manifest says what an archive is a backup of.
	Manifest = archive.Manifest
	// Totals are the sums of an archive.
	Totals = archive.Totals
	// DamageError says what of an archive is damaged, and where.
	DamageError = archive.DamageError
)

// ErrNotArchive says that a file is no backup.
var ErrNotArchive = archive.ErrNotArchive

// Progress is how far a backup or a restore is. It is told after every queue,
// and from time to time within one.
type Progress struct {
	Manifest *Manifest
	Totals   // so far
	// Queue and VHost name the queue under way.
	Queue, VHost string
}

// An Archive is what a whole, undamaged archive holds.
type Archive struct {
	Manifest    Manifest
	Totals      Totals
	Definitions []byte
	// Unavailable are queues whose messages are not in it, with the reason.
	Unavailable []string
	gone        map[int][]uint64 // by queue
}

// mostUnavailable bounds the queues that are named as unavailable.
const mostUnavailable = 1000

// ReadArchive reads an archive to its end, and checks every byte of it.
func ReadArchive(r io.Reader, tell func(Progress)) (*Archive, error) {
	x := &Archive{gone: map[int][]uint64{}}
	in, err := archive.NewReader(bufio.NewReaderSize(r, 1<<20))
	if err != nil {
		return nil, err
	}
	p, what := Progress{Manifest: &x.Manifest}, ""
	for {
		it, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return x, nil
		case err != nil:
			return nil, err
		case it.Manifest != nil:
			x.Manifest = *it.Manifest
		case it.Definitions != nil:
			x.Definitions = append(x.Definitions, it.Definitions...)
		case it.Queue != nil:
			p.Queue, p.VHost = it.Queue.Name, it.Queue.VHost
			what = it.Queue.What()
		case it.Messages != nil:
			p.Messages += uint64(len(it.Messages))
			for i := range it.Messages {
				p.Bytes += uint64(len(it.Messages[i].Blob))
			}
		case it.Gone != nil:
			k := int(p.Queues)
			x.gone[k] = append(x.gone[k], it.Gone...)
			p.Messages -= uint64(len(it.Gone))
		case it.QueueEnd != nil:
			if why := it.QueueEnd.Unavailable; why != "" && len(x.Unavailable) < mostUnavailable {
				x.Unavailable = append(x.Unavailable, what+": "+why)
			}
			slices.Sort(x.gone[int(p.Queues)])
			p.Queues++
		case it.End != nil:
			x.Totals = *it.End
		}
		if tell != nil {
			tell(p)
		}
	}
}

// Backup implements admin.Backups.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	resp, err := c.get(ctx, "/api/v1/backup", struct{}{})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read the backup of the node in %s: %w", c.dir, err)
	}
	return c.trail(resp)
}

// BeginRestore implements admin.Backups.
func (c *Client) BeginRestore(ctx context.Context, q admin.BeginRestore) (admin.Restoring, error) {
	return act[admin.BeginRestore, admin.Restoring](ctx, c, "/api/v1/restore/begin", q)
}

// RestoreQueue implements admin.Backups.
func (c *Client) RestoreQueue(ctx context.Context, q admin.RestoreQueue, messages io.Reader) (done admin.Restored, err error) {
	text, err := json.Marshal(q)
	if err != nil {
		return done, fmt.Errorf("write the order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node/api/v1/restore/queue?q="+url.QueryEscape(string(text)), messages)
	if err != nil {
		return done, fmt.Errorf("send the messages: %w", err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := c.good(req) //nolint:bodyclose // read closes it
	if err != nil {
		return done, err
	}
	return done, c.read(resp, &done)
}

// EndRestore implements admin.Backups.
func (c *Client) EndRestore(ctx context.Context, q admin.ArchiveID) (Done, error) {
	return act[admin.ArchiveID, Done](ctx, c, "/api/v1/restore/end", q)
}

// TakeBackup writes an archive of a node to w, and checks every byte of it on
// the way.
func TakeBackup(ctx context.Context, node admin.Backups, w io.Writer, tell func(Progress)) (*Archive, error) {
	body, out := io.Pipe()
	taken := make(chan error, 1)
	go func() { // received from below
		err := node.Backup(ctx, out)
		taken <- err
		_ = out.CloseWithError(err) // nil is io.EOF
	}()
	x, err := ReadArchive(io.TeeReader(body, w), tell)
	_ = body.CloseWithError(err)
	if errTaken := <-taken; errTaken != nil && !errors.Is(errTaken, io.ErrClosedPipe) {
		return nil, errTaken // if the node says why it ended, that is the reason
	}
	return x, err
}

// RestoreOptions of Restore.
type RestoreOptions struct {
	// Force lets a node that is not empty take the archive.
	Force bool
	// Tell is told of the progress; may be nil.
	Tell func(Progress)
}

// A Restoration is what came of a restore.
type Restoration struct {
	Archive  *Archive
	Imported Imported
	// Resumed says that the restore was interrupted before, at queue From.
	Resumed bool
	From    int
	Totals
}

// Restore gives an archive back to a node, which must be empty. The archive is
// checked whole before anything is changed. A restore that was interrupted goes
// on when it is called again with the same archive.
func Restore(ctx context.Context, node admin.Backups, file io.ReadSeeker, o RestoreOptions) (*Restoration, error) {
	a, err := ReadArchive(file, nil)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the archive again: %w", err)
	}
	id := admin.ArchiveID{Archive: a.Manifest.ID}
	begun, err := node.BeginRestore(ctx, admin.BeginRestore{ArchiveID: id, Force: o.Force, Definitions: a.Definitions})
	if err != nil {
		return nil, err
	}
	x := &Restoration{Archive: a, Imported: begun.Imported, Resumed: begun.Resumed, From: begun.Next}
	r := &restore{node: node, ctx: ctx, o: o, x: x, next: begun.Next, tells: Progress{Manifest: &a.Manifest}}
	if err := r.run(file); err != nil {
		return x, err
	}
	_, err = node.EndRestore(ctx, id)
	return x, err
}

// restore is a restore under way.
type restore struct {
	node  admin.Backups
	ctx   context.Context //nolint:containedctx // it lives for one call
	o     RestoreOptions
	x     *Restoration
	next  int
	tells Progress
}

// run sends the queues of an archive one by one.
func (r *restore) run(file io.Reader) error {
	in, err := archive.NewReader(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return err
	}
	for index := 0; ; {
		it, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case it.Queue != nil && index < r.next:
			r.tells.Queues++
		case it.Queue != nil:
			if err := r.queue(in, index, *it.Queue); err != nil {
				return fmt.Errorf("%s: %w", it.Queue.What(), err)
			}
			index++
			continue
		}
		if it.QueueEnd != nil {
			index++
		}
	}
}

// queue sends one queue, unless it is empty. What it reads of the archive ends
// with the queue's end.
func (r *restore) queue(in *archive.Reader, index int, q archive.Queue) error {
	gone := r.x.Archive.gone[index]
	first, err := r.skip(in, gone)
	r.tells.Queue, r.tells.VHost = q.Name, q.VHost
	if err != nil || first == nil {
		r.tells.Queues++
		return err
	}
	body, out := io.Pipe()
	sent := make(chan error, 1)
	go func() { // received from below
		err := r.send(in, out, q, first, gone)
		sent <- err
		_ = out.CloseWithError(err) // nil is io.EOF
	}()
	done, err := r.node.RestoreQueue(r.ctx, admin.RestoreQueue{
		ArchiveID: admin.ArchiveID{Archive: r.x.Archive.Manifest.ID}, Index: index, VHost: q.VHost, Name: q.Name, Schedule: q.Schedule,
		// Where other messages may be, nothing is purged: some may then be twice.
		Again: r.x.Resumed && index == r.x.From && !r.o.Force, Force: r.o.Force,
	}, body)
	_ = body.CloseWithError(err)
	if errSent := <-sent; err == nil {
		err = errSent
	}
	if err != nil {
		return err
	}
	r.x.Queues++
	r.x.Messages += done.Messages
	r.tells.Queues++
	return nil
}

// skip returns the first messages of a queue that are to be sent, nil if there
// are none.
func (r *restore) skip(in *archive.Reader, gone []uint64) ([]archive.Message, error) {
	for {
		it, err := in.Next()
		if err != nil || it.QueueEnd != nil {
			return nil, err
		}
		if ms := staying(it.Messages, gone); len(ms) > 0 {
			return ms, nil
		}
	}
}

// staying returns the messages that are not gone.
func staying(ms []archive.Message, gone []uint64) []archive.Message {
	if len(gone) == 0 {
		return ms
	}
	return slices.DeleteFunc(ms, func(m archive.Message) bool {
		_, is := slices.BinarySearch(gone, m.Seq)
		return is
	})
}

// send writes an archive of one queue.
func (r *restore) send(in *archive.Reader, to io.Writer, q archive.Queue, ms []archive.Message, gone []uint64) error {
	w, err := archive.NewWriter(to, archive.Manifest{ID: r.x.Archive.Manifest.ID, Queues: 1})
	if err != nil {
		return err
	}
	if err := w.Queue(q); err != nil {
		return err
	}
	for {
		for i := range ms {
			if err := w.Message(&ms[i]); err != nil {
				return err
			}
			r.tells.Bytes += uint64(len(ms[i].Blob))
		}
		r.tells.Messages += uint64(len(ms))
		if r.o.Tell != nil {
			r.o.Tell(r.tells)
		}
		it, err := in.Next()
		if err != nil {
			return err
		}
		if it.QueueEnd != nil {
			if err := w.EndQueue(nil); err != nil {
				return err
			}
			_, err = w.Close()
			return err
		}
		ms = staying(it.Messages, gone)
	}
}
