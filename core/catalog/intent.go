package catalog

import (
	"bytes"
	"iter"
	"slices"

	"github.com/warrenmq/warren/core/message"
)

// An IntentKind says what an intent is to bring about.
type IntentKind uint8

// The kinds of intents, with their subjects. The numbers are written to disk.
const (
	Join        IntentKind = iota // a node becomes a member
	Forget                        // a node is no member any more
	Reset                         // a node leaves and begins anew, empty
	Replace                       // a node takes the place of another
	Drain                         // a node leads nothing and serves no clients
	Move                          // a queue goes to another shard
	Close                         // a queue ends, if its shard finds the condition to hold
	Grow                          // a shard gets more replicas, or others
	intentKinds                   // their number
)

// String returns the kind's name.
func (k IntentKind) String() string {
	return [...]string{"join", "forget", "reset", "replace", "drain", "move", "close", "grow"}[k]
}

// An Intent is a change of many steps that was decided and is not yet done. Any
// node can go on with it. There is one of a kind for a subject at most.
type Intent struct {
	ID       uint64
	Revision uint64 // of the last change to it
	Kind     IntentKind
	Subject  uint64   // id of the node, queue or shard
	With     []uint64 // ids of what else takes part
	// State is the last step that was done, as those who do them name it; empty
	// at first.
	State   string
	Attrs   message.Table
	BegunAt int64 // log time
}

// Commands of intents.
type (
	// AddIntent records an intent. One of its kind for the subject that is there
	// is found: with other particulars it is in the way. One to forget a node bars
	// that at once, and is refused if it lives.
	AddIntent struct {
		Kind    IntentKind
		Subject uint64
		With    []uint64
		Attrs   message.Table
	}
	// StepIntent notes that an intent has come from the state From to the state
	// To. It is refused if the intent stands elsewhere.
	StepIntent struct {
		ID       uint64
		From, To string
		Attrs    message.Table
	}
	// EndIntent removes an intent that is done, or given up.
	EndIntent struct{ ID uint64 }
)

func (x *AddIntent) op() op  { return opAddIntent }
func (x *StepIntent) op() op { return opStepIntent }
func (x *EndIntent) op() op  { return opEndIntent }

func (x *AddIntent) fields(c *coder) {
	enum(c, &x.Kind, intentKinds)
	c.uint(&x.Subject)
	list(c, &x.With, c.uint)
	c.table(&x.Attrs)
}

func (x *StepIntent) fields(c *coder) {
	c.uint(&x.ID)
	c.str(&x.From)
	c.str(&x.To)
	c.table(&x.Attrs)
}

func (x *EndIntent) fields(c *coder) { c.uint(&x.ID) }

func (i *Intent) fields(c *coder) {
	c.uint(&i.ID)
	c.uint(&i.Revision)
	enum(c, &i.Kind, intentKinds)
	c.uint(&i.Subject)
	list(c, &i.With, c.uint)
	c.str(&i.State)
	c.table(&i.Attrs)
	c.int(&i.BegunAt)
}

func (x *AddIntent) apply(m *Machine) Result {
	if have := m.v.IntentFor(x.Kind, x.Subject); have != nil {
		if slices.Equal(have.With, x.With) && bytes.Equal(have.Attrs, x.Attrs) {
			return Result{Code: Existed, ID: have.ID}
		}
		return Result{Code: InUse, ID: have.ID}
	}
	if x.Kind == Forget {
		if bad := m.bar(x.Subject); bad.Code != Done {
			return bad
		}
	}
	i := &Intent{
		ID: m.newID(), Revision: m.v.revision, Kind: x.Kind, Subject: x.Subject,
		With: x.With, Attrs: x.Attrs, BegunAt: m.v.stamp,
	}
	m.v.addIntent(i)
	m.touch(byID(spaceIntent, i.ID), true)
	return Result{ID: i.ID}
}

// bar keeps a node that does not live from living again.
func (m *Machine) bar(id uint64) Result {
	n := m.v.Node(id)
	switch {
	case n == nil:
		return missing(ANode)
	case n.Incarnation != 0:
		return Result{Code: Refused, ID: id}
	}
	barred := *n
	barred.State, barred.Revision = Leaving, m.v.revision
	m.setNode(barred, false)
	return Result{}
}

func (v *View) addIntent(i *Intent) {
	v.intents = v.intents.Set(i.ID, i)
	v.intended = v.intended.Set(idKey(uint64(i.Kind), i.Subject), i.ID)
}

func (x *StepIntent) apply(m *Machine) Result {
	have := m.v.Intent(x.ID)
	switch {
	case have == nil:
		return missing(AnIntent)
	case have.State == x.To && bytes.Equal(have.Attrs, x.Attrs):
		return Result{Code: Existed, ID: x.ID}
	case have.State != x.From:
		return Result{Code: Refused, ID: x.ID}
	}
	i := *have
	i.State, i.Attrs, i.Revision = x.To, x.Attrs, m.v.revision
	m.v.intents = m.v.intents.Set(i.ID, &i)
	m.touch(byID(spaceIntent, i.ID), false)
	return Result{ID: i.ID}
}

func (x *EndIntent) apply(m *Machine) Result {
	i := m.v.Intent(x.ID)
	if i == nil {
		return Result{Code: Existed}
	}
	m.endIntent(i)
	return Result{ID: x.ID}
}

func (m *Machine) endIntent(i *Intent) {
	m.v.intents = m.v.intents.Delete(i.ID)
	m.v.intended = m.v.intended.Delete(idKey(uint64(i.Kind), i.Subject))
	m.gone(byID(spaceIntent, i.ID))
}

// Intent returns the intent with an id, or nil if it was ended.
func (v *View) Intent(id uint64) *Intent { i, _ := v.intents.Get(id); return i }

// IntentFor returns the intent of a kind for a subject, or nil.
func (v *View) IntentFor(k IntentKind, subject uint64) *Intent {
	id, _ := v.intended.Get(idKey(uint64(k), subject))
	return v.Intent(id)
}

// Intents lists the intents, the oldest first.
func (v *View) Intents() iter.Seq[*Intent] { return seconds(v.intents.All()) }
