package catalog

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/warrenmq/warren/core/exchange"
)

func benchMachine(queues int) *Machine {
	m, _ := setup()
	for i := range queues {
		m.Apply(1, declareDurable(i))
	}
	m.TakeDirty(func([]byte, []byte, bool) {})
	return m
}

func declareDurable(i int) Command {
	return &DeclareQueue{VHost: "/", QueueSpec: QueueSpec{Name: fmt.Sprintf("queue-%06d", i), Durable: true, Shard: theShard}}
}

func BenchmarkDeclareQueue(b *testing.B) {
	const n = 100_000
	b.Run(fmt.Sprintf("queues=%d", n), func(b *testing.B) {
		b.ReportAllocs()
		m := benchMachine(n)
		i := n
		for b.Loop() {
			if res := m.Apply(1, declareDurable(i)); res.Code != Done {
				b.Fatal(res.Code)
			}
			if i++; i%1000 == 0 {
				m.TakeDirty(func([]byte, []byte, bool) {})
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	const n = 100_000
	v := benchMachine(n).View()
	h := v.VHost("/")
	names := make([][]byte, n)
	for i := range names {
		names[i] = fmt.Appendf(nil, "queue-%06d", i*7919%n)
	}
	b.Run("by=name/queues=100000", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if h.QueueBytes(names[i]) == nil {
				b.Fatal("lost")
			}
			i = (i + 1) % n
		}
	})
	b.Run("by=default-exchange/queues=100000", func(b *testing.B) {
		b.ReportAllocs()
		var r Router
		var dst []exchange.Dest
		x := h.Exchange("")
		i := 0
		for b.Loop() {
			if dst = v.Route(&r, x, names[i], nil, dst[:0]); len(dst) != 1 {
				b.Fatal("lost")
			}
			i = (i + 1) % n
		}
	})
}

func BenchmarkBind(b *testing.B) {
	const n = 100_000
	m := benchMachine(n)
	for i := range n {
		m.Apply(1, &Bind{Link{VHost: "/", Source: "amq.topic", Destination: fmt.Sprintf("queue-%06d", i), Key: fmt.Sprintf("a.%d.#", i)}})
	}
	b.Run("op=bind+unbind/bindings=100000", func(b *testing.B) {
		b.ReportAllocs()
		l := Link{VHost: "/", Source: "amq.topic", Destination: "queue-000017", Key: "b.17"}
		for b.Loop() {
			if m.Apply(1, &Bind{l}).Code != Done || m.Apply(1, &Unbind{l}).Code != Done {
				b.Fatal("not done")
			}
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	v := benchMachine(10_000).View()
	for b.Loop() {
		v.Digest()
	}
}

// TestMemoryStaysFlat lets a great many names come and go, each with a binding,
// an exchange and a permission, and wants the memory back.
func TestMemoryStaysFlat(t *testing.T) {
	rounds := 50_000
	m := benchMachine(0)
	step := func(i int) {
		name := fmt.Sprintf("a-name-that-comes-and-goes-%d", i)
		for _, cmd := range []Command{
			&DeclareQueue{VHost: "/", QueueSpec: QueueSpec{Name: name, Durable: true, Shard: theShard}},
			&DeclareExchange{VHost: "/", ExchangeSpec: ExchangeSpec{Name: name, Type: exchange.Topic, Durable: true}},
			&Bind{Link{VHost: "/", Source: name, Destination: name, Key: name}},
			&Bind{Link{VHost: "/", Source: "amq.topic", Destination: name, Key: name + ".#"}},
			&SetUser{Name: name},
			&SetPermission{User: name, VHost: "/"},
			&RemoveUser{Name: name},
			&DeleteQueue{VHost: "/", Name: name},
			&DeleteExchange{VHost: "/", Name: name},
		} {
			if res := m.Apply(int64(i), cmd); res.Code != Done {
				t.Fatalf("%T: %v", cmd, res.Code)
			}
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	for i := range 100 {
		step(i)
	}
	before := heap()
	for i := range rounds {
		step(i)
	}
	if after := heap(); after > before+64<<10 {
		t.Errorf("%d names left %d bytes behind", rounds, after-before)
	}
	if n := len(m.dirty); n > 1 {
		t.Errorf("%d keys are remembered", n)
	}
	runtime.KeepAlive(m)
}

func TestReadsAllocateNothing(t *testing.T) {
	m := benchMachine(1000)
	for _, cmd := range []Command{
		&SetUser{Name: "alice"}, &SetPermission{User: "alice", VHost: "/"},
		&SetTopicPermission{User: "alice", VHost: "/", Exchange: "amq.topic"},
		&DeclareExchange{VHost: "/", ExchangeSpec: ExchangeSpec{Name: "e", Type: exchange.Fanout}},
		&Bind{Link{VHost: "/", Source: "amq.topic", Kind: exchange.Exchange, Destination: "e", Key: "#"}},
		&Bind{Link{VHost: "/", Source: "e", Destination: "queue-000001"}},
	} {
		if res := m.Apply(1, cmd); res.Code != Done {
			t.Fatalf("%T: %v", cmd, res.Code)
		}
	}
	v := m.View()
	h := v.VHost("/")
	var r Router
	var dst []exchange.Dest
	name, key := []byte("queue-000500"), []byte("a.b.c")
	x := h.ExchangeBytes([]byte("amq.topic"))
	if n := testing.AllocsPerRun(100, func() {
		if h.QueueBytes(name) == nil || v.QueueByID(500) == nil || v.VHost("/") != h {
			t.Fatal("lost")
		}
		if v.Permission("alice", h) == nil || v.TopicPermission("alice", x) == nil || v.User("alice") == nil {
			t.Fatal("no right")
		}
		if dst = v.Route(&r, x, key, nil, dst[:0]); len(dst) != 1 {
			t.Fatal("no route")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
