package shard_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A world is what clients know of a node over all its lives: what they asked
// for, what they were told. It is the measure for what a node holds.
type world struct {
	mu     sync.Mutex           // the file system's hook looks in from other goroutines
	clock  func() time.Duration // of the node that lives
	now    time.Duration        // of a snapshot
	next   uint64
	queues []*wqueue // in the order they were declared
	txs    []*wtx
}

type wqueue struct {
	name      string
	set       shard.Settings
	shard     uint64
	id        shard.QueueID
	declared  bool // confirmed
	deleting  bool
	deleted   bool          // confirmed
	closed    bool          // it is confirmed that it ends
	reopening bool          // and asked for that it goes on
	used      time.Duration // when it was last used for certain
	asked     time.Duration // when it was last used perhaps
	asking    bool          // it may be used before everything is done
	msgs      []*wmessage
}

// A wmessage is one message in one queue.
type wmessage struct {
	id        uint64
	confirmed bool
	refused   bool // and by no other queue taken
	answered  bool
	alone     bool // published to this queue only
	delivered bool // handed to a client at least once
	acking    bool
	gone      bool // acking in this life of the node
	acked     bool // confirmed

	sent, taken time.Duration // when it was published, and confirmed
	// It rests until then at least: in this life, and as is confirmed; and
	// perhaps, when what was not confirmed counts.
	rests, sure, mayRest time.Duration
	// How often it was given back as failed: was asked for, is certain.
	asked, failed uint16
}

// snapshot copies the world.
func (w *world) snapshot() *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &world{next: w.next}
	if w.clock != nil {
		c.now = w.clock()
	}
	for _, x := range w.txs {
		n := *x
		c.txs = append(c.txs, &n)
	}
	for _, q := range w.queues {
		n := *q
		n.msgs = make([]*wmessage, len(q.msgs))
		for i, m := range q.msgs {
			x := *m
			n.msgs[i] = &x
		}
		c.queues = append(c.queues, &n)
	}
	return c
}

func (w *world) queue(name string) *wqueue {
	for _, q := range w.queues {
		if q.name == name {
			return q
		}
	}
	return nil
}

// queueByID returns a queue that clients use.
func (w *world) queueByID(id shard.QueueID) *wqueue {
	for _, q := range w.queues {
		if q.id == id {
			return q
		}
	}
	return nil
}

func (q *wqueue) message(id uint64) *wmessage {
	i, ok := slices.BinarySearchFunc(q.msgs, id, func(m *wmessage, id uint64) int {
		switch {
		case m.id < id:
			return -1
		case m.id > id:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return q.msgs[i]
}

// body is the content of a message: its length and bytes follow from the id.
func body(id uint64) []byte {
	rng := rand.New(rand.NewPCG(id, 7))
	n := 8 + rng.IntN(60)
	if rng.IntN(8) == 0 {
		n += rng.IntN(6000)
	}
	b := make([]byte, n)
	binary.BigEndian.PutUint64(b, id)
	for i := 8; i < n; i++ {
		b[i] = byte(uint64(i) * (id + 3))
	}
	return b
}

// A found is a message as a client received it.
type found struct {
	id          uint64
	redelivered bool
	queue       shard.QueueID
	d           shard.Delivery
	by          *shard.Consumer // nil for a get
	at          time.Duration
}

func parse(q shard.QueueID, d *shard.Delivery) (found, error) {
	m, err := message.Parse(d.Blob)
	if err != nil {
		return found{}, err
	}
	if len(m.Body) < 8 {
		return found{}, fmt.Errorf("a body of %d bytes", len(m.Body))
	}
	id := binary.BigEndian.Uint64(m.Body)
	if !bytes.Equal(m.Body, body(id)) {
		return found{}, fmt.Errorf("message %d has the wrong bytes", id)
	}
	x := *d
	x.Blob = nil
	return found{id: id, redelivered: d.Redelivered, queue: q, d: x}, nil
}
