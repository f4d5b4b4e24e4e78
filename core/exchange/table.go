package exchange

import (
	"iter"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/pmap"
)

// A Table holds the bindings of one exchange. It is an immutable value; make
// it with New.
type Table struct {
	kind     Type
	bindings pmap.Map[Binding] // by identity
	hops     int               // bindings to exchanges
	// The index that the type routes by; the others are empty.
	keys    pmap.Hash[destSet] // direct
	all     destSet            // fanout, modulus hash and random ones
	root    *node              // topic
	matches pmap.Map[matching] // headers, by sorted arguments
	ring    []share            // consistent hash, by destination; never changed
	source  hashSource
}

// A destSet is a set of destinations, each with the number of bindings that
// lead to it by the same way.
type destSet = pmap.Ints[uint32]

// New returns a table without bindings for an exchange of type t with these
// arguments.
func New(t Type, args message.Table) Table {
	if t != ConsistentHash {
		return Table{kind: t}
	}
	return Table{kind: t, source: hashSourceOf(args)}
}

// Type returns how the table routes.
func (t Table) Type() Type { return t.kind }

// Len returns the number of bindings.
func (t Table) Len() int { return t.bindings.Len() }

// ByKey reports whether the routing key alone says where a message goes.
func (t Table) ByKey() bool {
	switch t.kind {
	case Headers:
		return t.matches.Len() == 0
	case ConsistentHash:
		return t.source == hashSource{} || len(t.ring) < 2
	case Random, LocalRandom:
		return t.all.Len() < 2
	}
	return true
}

// HasExchanges reports whether any binding leads to an exchange.
func (t Table) HasExchanges() bool { return t.hops > 0 }

// All iterates over the bindings by destination, then key, then arguments.
func (t Table) All() iter.Seq[Binding] { return values(t.bindings.All()) }

// To iterates over the bindings that lead to d.
func (t Table) To(d Dest) iter.Seq[Binding] { return values(t.bindings.Prefix(destPrefix(d))) }

func values(in iter.Seq2[string, Binding]) iter.Seq[Binding] {
	return func(yield func(Binding) bool) {
		for _, b := range in {
			if !yield(b) {
				return
			}
		}
	}
}

// Has reports whether the table holds b, whose arguments may be in any order.
func (t Table) Has(b Binding) bool {
	b.Args = b.Args.Sorted()
	_, ok := t.bindings.Get(identity(b))
	return ok
}

// Bind returns the table with a binding more. made is false, and the table the
// same, if it held it. The binding must have passed CheckBinding.
func (t Table) Bind(b Binding) (_ Table, made bool) {
	b.Args = b.Args.Sorted()
	id := identity(b)
	if _, had := t.bindings.Get(id); had {
		return t, false
	}
	b = aliased(id, b)
	t.bindings = t.bindings.Set(id, b)
	if b.Dest.Kind() == Exchange {
		t.hops++
	}
	switch t.kind {
	case Direct:
		set, _ := t.keys.Get(b.Key)
		t.keys = t.keys.Set(b.Key, withDest(set, b.Dest))
	case Fanout, ModulusHash, Random, LocalRandom:
		t.all = withDest(t.all, b.Dest)
	case ConsistentHash:
		weight, _ := weightOf(b.Key)
		t.ring = withShare(t.ring, b.Dest, float64(weight))
	case Topic:
		t.root = t.root.bind(canonical(b.Key), b.Dest)
	case Headers:
		args := string(b.Args)
		m, had := t.matches.Get(args)
		if !had {
			m.condition = newCondition(b.Args)
		}
		m.dests = withDest(m.dests, b.Dest)
		t.matches = t.matches.Set(args, m)
	}
	return t, true
}

// Unbind returns the table without a binding. gone is false, and the table the
// same, if it did not hold it.
func (t Table) Unbind(b Binding) (_ Table, gone bool) {
	b.Args = b.Args.Sorted()
	id := identity(b)
	if _, had := t.bindings.Get(id); !had {
		return t, false
	}
	t.bindings = t.bindings.Delete(id)
	if b.Dest.Kind() == Exchange {
		t.hops--
	}
	switch t.kind {
	case Direct:
		set, _ := t.keys.Get(b.Key)
		if set = withoutDest(set, b.Dest); set.Len() > 0 {
			t.keys = t.keys.Set(b.Key, set)
		} else {
			t.keys = t.keys.Delete(b.Key)
		}
	case Fanout, ModulusHash, Random, LocalRandom:
		t.all = withoutDest(t.all, b.Dest)
	case ConsistentHash:
		weight, _ := weightOf(b.Key)
		t.ring = withShare(t.ring, b.Dest, -float64(weight))
	case Topic:
		t.root = t.root.unbind(canonical(b.Key), b.Dest)
	case Headers:
		args := string(b.Args)
		m, _ := t.matches.Get(args)
		if m.dests = withoutDest(m.dests, b.Dest); m.dests.Len() > 0 {
			t.matches = t.matches.Set(args, m)
		} else {
			t.matches = t.matches.Delete(args)
		}
	}
	return t, true
}

// aliased returns b with its key inside id, so that both are one string.
func aliased(id string, b Binding) Binding {
	start := len(id) - len(b.Args) - len(b.Key)
	b.Key = id[start : start+len(b.Key)]
	if len(b.Args) > 0 {
		b.Args = append(message.Table(nil), b.Args...)
	} else {
		b.Args = nil
	}
	return b
}

func withDest(s destSet, d Dest) destSet {
	n, _ := s.Get(uint64(d))
	return s.Set(uint64(d), n+1)
}

func withoutDest(s destSet, d Dest) destSet {
	if n, _ := s.Get(uint64(d)); n > 1 {
		return s.Set(uint64(d), n-1)
	}
	return s.Delete(uint64(d))
}
