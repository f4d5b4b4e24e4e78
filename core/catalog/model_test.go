package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// A model is the catalog's topology in plain maps, by name, in one vhost.
type model struct {
	live      map[uint64]uint64 // incarnation: node
	last      uint64
	queues    map[string]*QueueSpec
	exchanges map[string]*ExchangeSpec
	bindings  map[modelBinding]bool
}

type modelBinding struct {
	source, to, key string
	kind            exchange.Kind
}

func newModel() *model {
	m := &model{
		live: map[uint64]uint64{}, queues: map[string]*QueueSpec{},
		exchanges: map[string]*ExchangeSpec{}, bindings: map[modelBinding]bool{},
	}
	for _, spec := range predeclared() {
		m.exchanges[spec.Name] = &spec
	}
	return m
}

// dropWhere removes bindings, and the auto-delete exchanges that they leave
// without any.
func (m *model) dropWhere(gone func(modelBinding) bool) {
	for b := range m.bindings {
		if gone(b) {
			delete(m.bindings, b)
			m.endIfSpent(b.source)
		}
	}
}

func (m *model) endIfSpent(name string) {
	x := m.exchanges[name]
	if x == nil || !x.AutoDelete {
		return
	}
	for b := range m.bindings {
		if b.source == name {
			return
		}
	}
	m.dropExchange(name)
}

func (m *model) dropExchange(name string) {
	delete(m.exchanges, name)
	m.dropWhere(func(b modelBinding) bool {
		return b.source == name || b.kind == exchange.Exchange && b.to == name
	})
}

func (m *model) dropQueue(name string) {
	delete(m.queues, name)
	m.dropWhere(func(b modelBinding) bool { return b.kind == exchange.Queue && b.to == name })
}

func (m *model) end(incarnation uint64) {
	delete(m.live, incarnation)
	for name, q := range m.queues {
		if q.Shard == 0 && q.Incarnation == incarnation || q.Exclusive && q.Owner.Incarnation == incarnation {
			m.dropQueue(name)
		}
	}
	if len(m.live) == 0 {
		for name, x := range m.exchanges {
			if !x.Durable {
				m.dropExchange(name)
			}
		}
	}
}

func (m *model) route(from, key string) []string {
	reached := map[string]bool{}
	seen, work := map[string]bool{}, []string{from}
	for len(work) > 0 {
		name := work[0]
		if work = work[1:]; seen[name] {
			continue
		}
		seen[name] = true
		hit := false
		for b := range m.bindings {
			if b.source != name || !m.matches(m.exchanges[name].Type, b.key, key) {
				continue
			}
			if hit = true; b.kind == exchange.Exchange {
				work = append(work, b.to)
			} else {
				reached[b.to] = true
			}
		}
		if _, ok := m.queues[key]; name == "" && ok {
			reached[key] = true
		}
		next, ok := m.exchanges[name].Args.Lookup("alternate-exchange")
		if to, _ := next.Text(); ok && !hit && m.exchanges[to] != nil {
			work = append(work, to)
		}
	}
	return slices.Sorted(maps.Keys(reached))
}

// matches knows the few patterns that the test draws.
func (m *model) matches(t exchange.Type, pattern, key string) bool {
	return t == exchange.Fanout || pattern == key || t == exchange.Topic && pattern == "#"
}

type driver struct {
	*model
	m *Machine
}

func name(t *rapid.T, prefix string) string {
	return prefix + rapid.StringMatching("[a-d]").Draw(t, "name")
}

func (d *driver) incarnation(t *rapid.T) uint64 {
	return rapid.Uint64Range(max(d.last, 3)-3, d.last+1).Draw(t, "incarnation")
}

// step draws a command, applies it to the model, and returns it with the code
// that the model expects.
func (d *driver) step(t *rapid.T) (Command, Code) {
	switch rapid.IntRange(0, 11).Draw(t, "op") {
	case 0, 1, 2:
		return d.declareQueue(t)
	case 3, 4:
		return d.declareExchange(t)
	case 5, 6, 7:
		return d.link(t)
	case 8:
		q := name(t, "q")
		code := NotFound
		if d.queues[q] != nil {
			code = Done
			d.dropQueue(q)
		}
		return &DeleteQueue{VHost: "/", Name: q, Force: true}, code
	case 9:
		x := name(t, "x")
		code := NotFound
		if d.exchanges[x] != nil {
			code = Done
			d.dropExchange(x)
		}
		return &DeleteExchange{VHost: "/", Name: x}, code
	case 10:
		s := Session{Incarnation: d.incarnation(t), Number: rapid.Uint64Range(1, 2).Draw(t, "session")}
		code := Existed
		for name, q := range d.queues {
			if q.Exclusive && q.Owner == s {
				code = Done
				d.dropQueue(name)
			}
		}
		return &EndSession{s}, code
	}
	return d.life(t)
}

func (d *driver) life(t *rapid.T) (Command, Code) {
	if rapid.Bool().Draw(t, "register") {
		node := rapid.Uint64Range(1, 2).Draw(t, "node")
		for i, n := range d.live {
			if n == node {
				d.end(i)
			}
		}
		d.last++
		d.live[d.last] = node
		return &Register{Node: node}, Done
	}
	i := d.incarnation(t)
	if _, ok := d.live[i]; !ok {
		return &EndIncarnation{Number: i}, NotFound
	}
	d.end(i)
	return &EndIncarnation{Number: i}, Done
}

func (d *driver) declareQueue(t *rapid.T) (Command, Code) {
	spec := QueueSpec{Name: name(t, "q"), Durable: rapid.Bool().Draw(t, "durable"), Incarnation: d.incarnation(t)}
	if rapid.Bool().Draw(t, "sharded") {
		spec.Shard, spec.Incarnation = theShard, 0
	}
	if rapid.IntRange(0, 2).Draw(t, "exclusive") == 0 {
		spec.Exclusive = true
		spec.Owner = Session{Incarnation: d.incarnation(t), Number: rapid.Uint64Range(1, 2).Draw(t, "session")}
	}
	cmd := &DeclareQueue{VHost: "/", QueueSpec: spec}
	if have := d.queues[spec.Name]; have != nil {
		switch {
		case have.Exclusive != spec.Exclusive || have.Exclusive && have.Owner != spec.Owner:
			return cmd, Locked
		case !have.Exclusive && have.Durable != spec.Durable:
			return cmd, Different
		}
		return cmd, Existed
	}
	if _, alive := d.live[spec.Incarnation]; spec.Shard == 0 && !alive {
		return cmd, NotFound
	}
	if _, alive := d.live[spec.Owner.Incarnation]; spec.Exclusive && !alive {
		return cmd, NotFound
	}
	d.queues[spec.Name] = &spec
	return cmd, Done
}

func (d *driver) declareExchange(t *rapid.T) (Command, Code) {
	spec := ExchangeSpec{
		Name: name(t, "x"), Durable: rapid.Bool().Draw(t, "durable"), AutoDelete: rapid.Bool().Draw(t, "auto-delete"),
		Type: rapid.SampledFrom([]exchange.Type{exchange.Direct, exchange.Fanout, exchange.Topic}).Draw(t, "type"),
	}
	if rapid.IntRange(0, 2).Draw(t, "alternate") == 0 {
		to := rapid.SampledFrom([]string{"", "xa", "xb", "amq.fanout"}).Draw(t, "to")
		spec.Args = message.AppendField(nil, "alternate-exchange", message.StringOf(to))
	}
	if spec.Delayed = rapid.IntRange(0, 2).Draw(t, "delayed") == 0; spec.Delayed {
		spec.Args = message.AppendField(spec.Args, DelayedTypeArg, message.StringOf(spec.Type.String()))
	}
	cmd := &DeclareExchange{VHost: "/", ExchangeSpec: spec, Home: theShard}
	if have := d.exchanges[spec.Name]; have != nil {
		if have.Durable == spec.Durable && have.AutoDelete == spec.AutoDelete && have.Type == spec.Type && have.Delayed == spec.Delayed && string(have.Args) == string(spec.Args) {
			return cmd, Existed
		}
		return cmd, Different
	}
	d.exchanges[spec.Name] = &spec
	return cmd, Done
}

func (d *driver) link(t *rapid.T) (Command, Code) {
	b := modelBinding{
		source: rapid.SampledFrom([]string{"xa", "xb", "xc", "xd", "amq.fanout", "amq.topic"}).Draw(t, "source"),
		key:    rapid.SampledFrom([]string{"k", "l", "#", "qa"}).Draw(t, "key"),
		to:     name(t, "q"),
	}
	if rapid.IntRange(0, 2).Draw(t, "hop") == 0 {
		b.kind, b.to = exchange.Exchange, name(t, "x")
	}
	link := Link{VHost: "/", Source: b.source, Kind: b.kind, Destination: b.to, Key: b.key}
	unbind := rapid.IntRange(0, 3).Draw(t, "unbind") == 0
	missing := d.exchanges[b.source] == nil || b.kind == exchange.Exchange && d.exchanges[b.to] == nil ||
		b.kind == exchange.Queue && d.queues[b.to] == nil
	switch {
	case missing && unbind:
		return &Unbind{link}, NotFound
	case missing:
		return &Bind{link}, NotFound
	case unbind && !d.bindings[b]:
		return &Unbind{link}, NotFound
	case unbind:
		d.dropWhere(func(have modelBinding) bool { return have == b })
		return &Unbind{link}, Done
	case d.bindings[b]:
		return &Bind{link}, Existed
	}
	d.bindings[b] = true
	return &Bind{link}, Done
}

// check compares the view with the model, and the view's indexes with its
// objects.
func (d *driver) check(t *rapid.T) {
	v := d.m.View()
	h := v.VHost("/")
	var queues, exchanges []string
	for q := range h.Queues("") {
		queues = append(queues, q.Name)
		if v.QueueByID(q.ID) != q || h.QueueBytes([]byte(q.Name)) != q || v.Queue("/", q.Name) != q {
			t.Fatalf("queue %s is not the same by name and by id", q.Name)
		}
		if spec := d.queues[q.Name]; spec == nil || spec.Exclusive && q.Owner != spec.Owner {
			t.Fatalf("queue %v, model %v", q, spec)
		}
	}
	for x := range h.Exchanges("") {
		exchanges = append(exchanges, x.Name)
		if v.ExchangeByID(x.ID) != x || h.ExchangeBytes([]byte(x.Name)) != x {
			t.Fatalf("exchange %s is not the same by name and by id", x.Name)
		}
	}
	same(t, "queues", queues, slices.Sorted(maps.Keys(d.queues)))
	same(t, "exchanges", exchanges, slices.Sorted(maps.Keys(d.exchanges)))
	d.checkBindings(t, v)
	checkIndexes(t, v)
	for _, from := range exchanges {
		key := rapid.SampledFrom([]string{"k", "l", "qa", "qb"}).Draw(t, "key")
		var r Router
		var got []string
		for _, dst := range v.Route(&r, h.Exchange(from), []byte(key), nil, nil) {
			got = append(got, v.QueueByID(dst.ID()).Name)
		}
		slices.Sort(got)
		same(t, fmt.Sprintf("route %s %s", from, key), got, d.route(from, key))
	}
}

func (d *driver) checkBindings(t *rapid.T, v *View) {
	var got, want []string
	for x := range v.VHost("/").Exchanges("") {
		for b := range v.Bindings(x).All() {
			to := ""
			if b.Dest.Kind() == exchange.Queue {
				to = v.QueueByID(b.Dest.ID()).Name
			} else {
				to = v.ExchangeByID(b.Dest.ID()).Name
			}
			got = append(got, fmt.Sprintf("%s %s %s", x.Name, to, b.Key))
		}
	}
	for b := range d.bindings {
		want = append(want, fmt.Sprintf("%s %s %s", b.source, b.to, b.key))
	}
	slices.Sort(got)
	slices.Sort(want)
	same(t, "bindings", got, want)
}

func checkIndexes(t *rapid.T, v *View) {
	var owned, placed, sources, transient []string
	plain := 0
	for q := range v.Queues(0) {
		if q.Kind != Schedule {
			plain++
		} else if x := v.VHostByID(q.VHost).Exchange(q.Name); x == nil || !x.Delayed || x.Schedule != q.ID {
			t.Fatalf("schedule %v of exchange %v", q, x)
		}
		if q.Shard != 0 {
			placed = append(placed, idKey(q.Shard, q.ID))
		}
		if q.Exclusive {
			owned = append(owned, idKey(q.Owner.Incarnation, q.Owner.Number, q.ID))
		}
		if q.Shard == 0 && (!q.Exclusive || q.Owner.Incarnation != q.Incarnation) {
			owned = append(owned, idKey(q.Incarnation, 0, q.ID))
		}
	}
	for id, x := range v.exchanges.All() {
		if !x.Durable {
			transient = append(transient, idKey(id))
		}
		if q := v.QueueByID(x.Schedule); x.Delayed != (q != nil) || q != nil && (q.Kind != Schedule || q.Shard == 0 || q.Shard != v.VHostByID(x.VHost).Home) {
			t.Fatalf("exchange %v has schedule %v", x, q)
		}
		for b := range v.Bindings(x).All() {
			sources = append(sources, idKey(uint64(b.Dest), id))
		}
	}
	if n := v.QueueCount(); n != plain {
		t.Fatalf("%d queues are counted, there are %d", n, plain)
	}
	var have []string
	for id := range v.transient.All() {
		have = append(have, idKey(id))
	}
	slices.Sort(sources)
	slices.Sort(owned)
	same(t, "transient", have, transient)
	var in []string
	for shard := range v.placed.All() {
		for q := range v.QueuesIn(shard) {
			in = append(in, idKey(shard, q.ID))
		}
	}
	same(t, "placed", in, placed)
	same(t, "owned", slices.Collect(firsts(v.owned.All())), owned)
	same(t, "sources", slices.Collect(firsts(v.sources.All())), slices.Compact(sources))
	if v.tables.Len() != v.exchanges.Len() {
		t.Fatalf("%d tables for %d exchanges", v.tables.Len(), v.exchanges.Len())
	}
}

func same(t *rapid.T, what string, got, want []string) {
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %q, want %q", what, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

// theShard is the id of setup's only shard.
const theShard = reservedIDs + 1

func setup() (*Machine, []byte) {
	var log []byte
	for _, cmd := range []Command{
		&AddNode{ID: 1, Name: "a"}, &AddNode{ID: 2, Name: "b"}, &AddShard{Replicas: []uint64{1}}, &AddVHost{Name: "/"},
	} {
		log = AppendCommand(log, 1, cmd)
	}
	m := New()
	if _, err := m.ApplyEntry(1, log, nil); err != nil {
		panic(err)
	}
	return m, log
}

// TestAgainstModel applies one log to two machines: one straight through, the
// other restored from its incremental checkpoints at random points. Results,
// contents and digests agree with each other and with the model; views taken on
// the way never change.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		straight, _ := setup()
		d := &driver{model: newModel(), m: straight}
		restored, _ := setup()
		store := map[string][]byte{}
		old := straight.View()
		oldDigest := old.Digest()
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			cmd, want := d.step(t)
			entry := AppendCommand(nil, int64(i), cmd)
			got, err := straight.ApplyEntry(1, entry, nil)
			if err != nil || got[0].Code != want {
				t.Fatalf("%T %+v: %v %v, want %v", cmd, cmd, got, err, want)
			}
			again, err := restored.ApplyEntry(1, entry, nil)
			if err != nil || fmt.Sprintf("%+v", summary(again[0])) != fmt.Sprintf("%+v", summary(got[0])) {
				t.Fatalf("%T: %+v on one, %+v on the other", cmd, got[0], again[0])
			}
			if rapid.IntRange(0, 4).Draw(t, "checkpoint") == 0 {
				restored.TakeDirty(func(key, value []byte, deleted bool) {
					if _, had := store[string(key)]; deleted && !had {
						t.Fatalf("key %x is deleted from where it never was", key)
					}
					if store[string(key)] = value; deleted {
						delete(store, string(key))
					}
				})
				if restored, err = load(store); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.check(t)
		if straight.View().Digest() != restored.View().Digest() {
			t.Fatal("the restored machine has another digest")
		}
		if old.Digest() != oldDigest {
			t.Fatal("an old view has changed")
		}
		exported := map[string][]byte{}
		last := ""
		restored.View().Export(func(key, value []byte) {
			if exported[string(key)] = value; string(key) <= last {
				t.Fatalf("key %x after %x", key, last)
			}
			last = string(key)
		})
		restored.TakeDirty(func(key, value []byte, deleted bool) {
			if store[string(key)] = value; deleted {
				delete(store, string(key))
			}
		})
		if !maps.EqualFunc(store, exported, slices.Equal) {
			t.Fatal("the sum of the checkpoints is not the export")
		}
	})
}

// summary is a result without pointers.
func summary(r Result) string {
	out := fmt.Sprint(r.Code, r.Missing, r.Revision, r.ID, r.Mismatch != nil)
	for _, q := range r.Removed.Queues {
		out += " " + q.Name
	}
	for _, x := range r.Removed.Exchanges {
		out += " " + x.Name
	}
	for _, b := range r.Removed.Bindings {
		out += fmt.Sprint(" ", b.Source.Name, b.Dest, b.Key)
	}
	return out
}
