package shard

import (
	"encoding/binary"
	"fmt"

	"github.com/warrenmq/warren/core/queue"
)

// CommandKind is the kind of a command of the leader's section. The numbers
// are part of the log's format: they are never reused and their meaning never
// changes.
type CommandKind uint8

// Commands, in varints behind the kind byte. A run is seq, span, n, bytes, as
// in queue.Run.
const (
	// CmdMake: queue, revision, then the length and bytes of its settings.
	CmdMake CommandKind = iota + 1
	// CmdDrop: queue.
	CmdDrop
	// CmdSettle: queue, run. What it names was accepted.
	CmdSettle
	// CmdReturn: queue, run, raise. What it names goes back to its place.
	CmdReturn
	// CmdRemove: queue, run, reason. What it names was expired, dropped,
	// purged, rejected or due.
	CmdRemove
	// CmdHorizon: queue, priority, seq.
	CmdHorizon
	// CmdLost: queue. Its horizons become its lost marks.
	CmdLost
	// CmdEnd: node, incarnation. The incarnation ended.
	CmdEnd
	// CmdSet: queue, revision, then the length and bytes of its settings.
	CmdSet
	// CmdPost: queue, run, reason. What it names died and goes to the outbox.
	CmdPost
	// CmdLeft: queue, run of letters' numbers. What it names left the outbox.
	CmdLeft
	// CmdClose: queue. It takes nothing any more, and ends unless the catalog
	// refuses that.
	CmdClose
	// CmdReopen: queue. It goes on, unless it turned something away.
	CmdReopen
	// CmdTx: number of an item, then the length and bytes of commands. The
	// transaction that begins with this item of the batch beside may be; the
	// commands, which settle, return, remove and post, are a part of it.
	CmdTx
	// CmdServe: node, incarnation. Its sessions may be delivered to from here on:
	// a later leader waits for it.
	CmdServe
	// CmdUnserve: node, incarnation. It has nothing here any more.
	CmdUnserve
	// CmdGrant: queue, node, incarnation, consumer. That consumer is the queue's
	// only one, by its own wish or the queue's, until another grant.
	CmdGrant
	cmdLimit
)

// A Command is one command of a section. Which fields count depends on Kind.
type Command struct {
	Kind     CommandKind
	Queue    uint64 // node for CmdEnd, CmdServe and CmdUnserve, an item's number for CmdTx
	Seq      uint64 // incarnation for those, revision for CmdMake and CmdSet
	Grant    Grant
	Run      queue.Run
	Arg      uint64 // raise, reason or priority
	Settings []byte // commands for CmdTx
}

// A Grant is a logged right of one consumer to be the only one.
type Grant struct{ Node, Incarnation, Consumer uint64 }

// A Section collects the leader's commands of one entry.
type Section struct {
	Term  uint64
	Stamp int64
	buf   []byte
	other bool // there is a command beside CmdSettle and CmdLeft
}

// OnlySettles reports whether all commands end messages that reached where they
// were to go: they can wait for company.
func (s *Section) OnlySettles() bool { return !s.other }

// Reset empties the section for reuse.
func (s *Section) Reset() { *s = Section{buf: s.buf[:0]} }

// Empty reports whether there is no command.
func (s *Section) Empty() bool { return len(s.buf) == 0 }

// Len returns how many bytes the commands have.
func (s *Section) Len() int { return len(s.buf) }

// Bytes returns the encoded commands, valid until the next change.
func (s *Section) Bytes() []byte { return s.buf }

// Add appends a command.
func (s *Section) Add(c Command) {
	u := binary.AppendUvarint
	b := u(append(s.buf, byte(c.Kind)), c.Queue)
	s.other = s.other || c.Kind != CmdSettle && c.Kind != CmdLeft
	switch c.Kind {
	case CmdMake, CmdSet:
		b = u(u(b, c.Seq), uint64(len(c.Settings)))
		b = append(b, c.Settings...)
	case CmdTx:
		b = append(u(b, uint64(len(c.Settings))), c.Settings...)
	case CmdSettle, CmdLeft:
		b = appendRun(b, c.Run)
	case CmdReturn, CmdRemove, CmdPost:
		b = u(appendRun(b, c.Run), c.Arg)
	case CmdHorizon:
		b = u(u(b, c.Arg), c.Seq)
	case CmdEnd, CmdServe, CmdUnserve:
		b = u(b, c.Seq)
	case CmdGrant:
		b = u(u(u(b, c.Grant.Node), c.Grant.Incarnation), c.Grant.Consumer)
	}
	s.buf = b
}

func appendRun(b []byte, r queue.Run) []byte {
	u := binary.AppendUvarint
	return u(u(u(u(b, r.Seq), uint64(r.Span)), uint64(r.N)), r.Bytes)
}

// A CommandDecoder reads the commands of a section in order.
type CommandDecoder struct {
	rest []byte
	bad  bool
}

// DecodeCommands returns a decoder of the commands of a transaction.
func DecodeCommands(b []byte) CommandDecoder { return CommandDecoder{rest: b} }

func (d *CommandDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *CommandDecoder) run() (r queue.Run) {
	r.Seq = d.uvarint()
	span, n := d.uvarint(), d.uvarint()
	r.Bytes = d.uvarint()
	if span > queue.PageSize || n > span {
		d.bad = true
		return r
	}
	r.Span, r.N = uint32(span), uint32(n)
	return r
}

// Next decodes the next command into c. It returns false at the end, and an
// error if the bytes are not a command that this build knows: then the entry
// must not be applied.
func (d *CommandDecoder) Next(c *Command) (bool, error) {
	if len(d.rest) == 0 {
		return false, nil
	}
	*c = Command{Kind: CommandKind(d.rest[0])}
	d.rest = d.rest[1:]
	if c.Kind == 0 || c.Kind >= cmdLimit {
		return false, fmt.Errorf("%w: command %d is not known to this build", ErrFormat, c.Kind)
	}
	c.Queue = d.uvarint()
	switch c.Kind {
	case CmdMake, CmdSet, CmdTx:
		if c.Kind != CmdTx {
			c.Seq = d.uvarint()
		}
		n := d.uvarint()
		if n > uint64(len(d.rest)) {
			d.bad = true
			break
		}
		c.Settings, d.rest = d.rest[:n:n], d.rest[n:]
	case CmdSettle, CmdLeft:
		c.Run = d.run()
	case CmdReturn:
		c.Run, c.Arg = d.run(), d.uvarint()
		d.bad = d.bad || c.Arg >= uint64(queue.ToTail)<<1
	case CmdRemove, CmdPost:
		c.Run, c.Arg = d.run(), d.uvarint()
		d.bad = d.bad || c.Arg < uint64(queue.Expired) || c.Arg > uint64(queue.Due)
	case CmdHorizon:
		c.Arg, c.Seq = d.uvarint(), d.uvarint()
		d.bad = d.bad || c.Arg > 255
	case CmdEnd, CmdServe, CmdUnserve:
		c.Seq = d.uvarint()
	case CmdGrant:
		c.Grant = Grant{d.uvarint(), d.uvarint(), d.uvarint()}
	}
	if d.bad {
		return false, fmt.Errorf("%w: command %d is malformed", ErrFormat, c.Kind)
	}
	return true, nil
}
