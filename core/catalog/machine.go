package catalog

import (
	"fmt"

	"github.com/warrenmq/warren/core/exchange"
)

const alternateArg = "alternate-exchange"

// A Machine applies the commands of the catalog's log. It belongs to one
// goroutine; the Views it gives out belong to everyone.
type Machine struct {
	v      View               // the state; its maps are persistent
	term   uint64             // of the entry that is applied
	frozen *View              // a copy of v, until something changes
	dirty  map[objectKey]bool // changed since TakeDirty; true: the checkpoint lacks it
}

// reservedIDs are not given to objects: shards have their ids as Raft groups,
// and the catalog itself is group 1.
const reservedIDs = 1

// New returns an empty catalog.
func New() *Machine { return &Machine{v: View{lastID: reservedIDs}, dirty: map[objectKey]bool{}} }

// View returns the state as it is now. While nothing changes it is the same
// pointer.
func (m *Machine) View() *View {
	if m.frozen == nil {
		frozen := m.v
		m.frozen = &frozen
	}
	return m.frozen
}

// Apply performs one command. stamp is the log time of its proposal in
// milliseconds.
func (m *Machine) Apply(stamp int64, cmd Command) Result {
	if stamp > m.v.stamp {
		m.v.stamp = stamp
		m.touchMeta()
	}
	before := m.v.revision
	m.v.revision++ // what the command makes carries the revision it leads to
	res := cmd.apply(m)
	if res.Code == Done {
		m.touchMeta()
		if changesRights(cmd) {
			m.v.rights = m.v.revision
		}
		if changesPolicies(cmd) {
			m.v.governing = m.v.revision
		}
	} else {
		m.v.revision = before
	}
	res.Revision = m.v.revision
	return res
}

// changesRights reports whether a command changes who may do what.
func changesRights(cmd Command) bool {
	switch cmd.(type) {
	case *AddVHost, *RemoveVHost, *SetUser, *RemoveUser, *SetPermission, *ClearPermission,
		*SetTopicPermission, *ClearTopicPermission, *DeclareExchange, *DeleteExchange:
		return true
	}
	return false
}

// changesPolicies reports whether a command changes which policies there are.
func changesPolicies(cmd Command) bool {
	switch cmd.(type) {
	case *SetPolicy, *ClearPolicy, *RemoveVHost:
		return true
	}
	return false
}

// Propose performs the command of a proposal. One that is marked is performed
// if it is the next of its incarnation: a double, one behind a gap, and one of
// an incarnation that has ended change nothing.
func (m *Machine) Propose(p Proposal) Result {
	if !p.Mark.Set() {
		return m.Apply(p.Stamp, p.Command)
	}
	i := m.v.Incarnation(p.Mark.Incarnation)
	skip := Done
	switch {
	case i == nil:
		skip = Ended
	case p.Mark.Number <= i.Last:
		skip = Double
	case p.Mark.Number > i.Last+1:
		skip = Gap
	}
	if skip != Done {
		return Result{Code: skip, Mark: p.Mark, Revision: m.v.revision}
	}
	next := *i
	next.Last = p.Mark.Number
	m.v.incarnations = m.v.incarnations.Set(i.Number, &next)
	m.touch(byID(spaceIncarnation, i.Number), false)
	res := m.Apply(p.Stamp, p.Command)
	res.Mark = p.Mark
	return res
}

// ApplyEntry performs the commands of one entry of the log, of a term, and
// appends their results to out. On error the node must stop: nothing of the
// entry has been applied.
func (m *Machine) ApplyEntry(term uint64, data []byte, out []Result) ([]Result, error) {
	var ps []Proposal
	for len(data) > 0 {
		p, rest, err := ParseProposal(data)
		if err != nil {
			return out, fmt.Errorf("command %d of an entry: %w", len(ps), err)
		}
		ps, data = append(ps, p), rest
	}
	m.term = term
	for _, p := range ps {
		out = append(out, m.Propose(p))
	}
	return out, nil
}

func missing(t Thing) Result { return Result{Code: NotFound, Missing: t} }

func (m *Machine) newID() uint64 {
	m.v.lastID++
	return m.v.lastID
}

// touch notes that the object under key changed; made says that it was not
// there before. What the last checkpoint holds is never taken for new, though
// it may have been deleted and made again since.
func (m *Machine) touch(key objectKey, made bool) {
	m.frozen = nil
	if _, known := m.dirty[key]; !known {
		m.dirty[key] = made
	}
}

// gone notes that the object under key is no more. What never reached a
// checkpoint leaves no trace.
func (m *Machine) gone(key objectKey) {
	m.frozen = nil
	if m.dirty[key] {
		delete(m.dirty, key)
	} else {
		m.dirty[key] = false
	}
}

func (m *Machine) touchMeta() { m.touch(objectKey{space: spaceMeta}, false) }

// setVHost stores a vhost that exists already under its name.
func (m *Machine) setVHost(h VHost) { m.v.vhosts = m.v.vhosts.set(h.Name, &h) }

func (m *Machine) setTable(source *Exchange, t exchange.Table) {
	m.v.tables = m.v.tables.Set(source.ID, t)
}
