package shard

import (
	"encoding/binary"
	"fmt"
)

// CommandKind is the kind of a command of the leader's section. The numbers
// are part of the log's format: they are never reused and their meaning never
// changes.
type CommandKind uint8

// Commands, in varints behind the kind byte.
const (
	// CmdMake: queue, revision, then the length and bytes of its settings.
	CmdMake CommandKind = iota + 1
	// CmdDrop: queue.
	CmdDrop
	// CmdSettle: queue, seq, n, bytes. A run was accepted.
	CmdSettle
	// CmdReturn: queue, seq, n, raise. A run goes back to its place.
	CmdReturn
	// CmdRemove: queue, seq, n, bytes, reason. A run was expired, dropped,
	// purged or rejected.
	CmdRemove
	// CmdHorizon: queue, priority, seq.
	CmdHorizon
	// CmdLost: queue. Its horizons become its lost marks.
	CmdLost
	// CmdEnd: node, incarnation. The incarnation ended.
	CmdEnd
	// CmdSet: queue, revision, then the length and bytes of its settings.
	CmdSet
	cmdLimit
)

// A Command is one command of a section. Which fields count depends on Kind.
type Command struct {
	Kind     CommandKind
	Queue    uint64 // node for CmdEnd
	Seq      uint64 // incarnation for CmdEnd, revision for CmdMake and CmdSet
	N        uint64
	Bytes    uint64
	Arg      uint64 // raise, reason or priority
	Settings []byte
}

// A Section collects the leader's commands of one entry. Commands that continue
// the run of the command before are merged with it.
type Section struct {
	Term  uint64
	Stamp int64
	buf   []byte
	last  Command // not yet in buf
}

// Reset empties the section for reuse.
func (s *Section) Reset() { *s = Section{buf: s.buf[:0]} }

// Empty reports whether there is no command.
func (s *Section) Empty() bool { return len(s.buf) == 0 && s.last.Kind == 0 }

// Len returns about how many bytes the commands have.
func (s *Section) Len() int { return len(s.buf) + 32 }

// Bytes returns the encoded commands, valid until the next change.
func (s *Section) Bytes() []byte {
	s.flush()
	return s.buf
}

// Add appends a command; c.N is 1 for a single sequence.
func (s *Section) Add(c Command) {
	l := &s.last
	if c.Kind == l.Kind && c.Queue == l.Queue && c.Arg == l.Arg && c.Seq == l.Seq+l.N &&
		(c.Kind == CmdSettle || c.Kind == CmdReturn || c.Kind == CmdRemove) {
		l.N += c.N
		l.Bytes += c.Bytes
		return
	}
	s.flush()
	s.last = c
}

func (s *Section) flush() {
	c := &s.last
	if c.Kind == 0 {
		return
	}
	u := binary.AppendUvarint
	b := append(s.buf, byte(c.Kind))
	b = u(b, c.Queue)
	switch c.Kind {
	case CmdMake, CmdSet:
		b = u(b, c.Seq)
		b = u(b, uint64(len(c.Settings)))
		b = append(b, c.Settings...)
	case CmdSettle:
		b = u(u(u(b, c.Seq), c.N), c.Bytes)
	case CmdReturn:
		b = u(u(u(b, c.Seq), c.N), c.Arg)
	case CmdRemove:
		b = u(u(u(u(b, c.Seq), c.N), c.Bytes), c.Arg)
	case CmdHorizon:
		b = u(u(b, c.Arg), c.Seq)
	case CmdEnd:
		b = u(b, c.Seq)
	}
	s.buf = b
	s.last = Command{}
}

// A CommandDecoder reads the commands of a section in order.
type CommandDecoder struct {
	rest []byte
	bad  bool
}

func (d *CommandDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
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
	case CmdMake, CmdSet:
		c.Seq = d.uvarint()
		n := d.uvarint()
		if n > uint64(len(d.rest)) {
			d.bad = true
			break
		}
		c.Settings, d.rest = d.rest[:n:n], d.rest[n:]
	case CmdSettle:
		c.Seq, c.N, c.Bytes = d.uvarint(), d.uvarint(), d.uvarint()
	case CmdReturn:
		c.Seq, c.N, c.Arg = d.uvarint(), d.uvarint(), d.uvarint()
	case CmdRemove:
		c.Seq, c.N, c.Bytes, c.Arg = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	case CmdHorizon:
		c.Arg, c.Seq = d.uvarint(), d.uvarint()
	case CmdEnd:
		c.Seq = d.uvarint()
	}
	if d.bad {
		return false, fmt.Errorf("%w: command %d is cut short", ErrFormat, c.Kind)
	}
	return true, nil
}
