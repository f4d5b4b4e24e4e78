package exchange

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/warrenmq/warren/core/message"
)

func benchTable(kind Type, n int) Table {
	table := New(kind, nil)
	for i := range n {
		b := Binding{Dest: ToQueue(uint64(i + 1))}
		switch kind {
		case Topic:
			switch i % 4 {
			case 0:
				b.Key = fmt.Sprintf("stock.%d.*.nyse", i)
			case 1:
				b.Key = fmt.Sprintf("*.%d.usd.#", i)
			case 2:
				b.Key = fmt.Sprintf("stock.%d.#", i)
			case 3:
				b.Key = fmt.Sprintf("news.%d.*", i)
			}
		case Headers:
			b.Args = message.AppendField(nil, "shard", message.IntOf(message.Int32, int64(i)))
		case ConsistentHash:
			b.Key = "1"
		default:
			b.Key = fmt.Sprintf("key-%d", i)
		}
		table, _ = table.Bind(b)
	}
	return table
}

func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		for _, kind := range []Type{Direct, Topic, Fanout, Headers, ConsistentHash, ModulusHash} {
			if n > 1_000 && (kind == Headers || kind == ConsistentHash) {
				continue // compared one by one
			}
			table := benchTable(kind, n)
			b.Run(fmt.Sprintf("type=%v/bindings=%d", kind, n), func(b *testing.B) {
				b.ReportAllocs()
				var r Router
				var dst []Dest
				key := []byte("key-00")
				headers := message.AppendField(nil, "shard", message.IntOf(message.Int64, 17))
				i := 0
				for b.Loop() {
					// A fresh key each time: the last word never comes twice.
					i++
					switch kind {
					case Topic:
						key = append(key[:0], "stock."...)
						key = appendInt(key, i%n)
						key = append(key, ".usd."...)
						key = appendInt(key, i)
					case Direct:
						key = appendInt(append(key[:0], "key-"...), i%n)
					}
					dst = table.Route(&r, key, &headers, dst[:0])
				}
			})
		}
	}
}

func appendInt(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(i), 10) }

func BenchmarkBind(b *testing.B) {
	for _, kind := range []Type{Direct, Topic, Fanout, Headers} {
		b.Run(fmt.Sprintf("type=%v/bindings=100000", kind), func(b *testing.B) {
			table := benchTable(kind, 100_000)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				args := message.AppendField(nil, "shard", message.IntOf(message.Int32, int64(-i)))
				bound := Binding{Dest: ToQueue(uint64(i + 200_000)), Key: "stock.usd.one", Args: args}
				with, _ := table.Bind(bound)
				if without, gone := with.Unbind(bound); !gone || without.Len() != table.Len() {
					b.Fatal("lost")
				}
			}
		})
	}
	b.Run("type=direct/onekey=100000", func(b *testing.B) {
		table := New(Direct, nil)
		for i := range uint64(100_000) {
			table, _ = table.Bind(Binding{Dest: ToQueue(i + 1), Key: "one"})
		}
		b.ReportAllocs()
		for b.Loop() {
			table.Bind(Binding{Dest: ToQueue(200_000), Key: "one"})
		}
	})
}

func TestRouteAllocatesNothing(t *testing.T) {
	headers := message.AppendField(nil, "shard", message.IntOf(message.Int64, 17))
	for kind := Direct; kind < types; kind++ {
		table := benchTable(kind, 1000)
		var r Router
		var dst []Dest
		key := []byte("stock.17.usd.nyse")
		route := func() { dst = table.Route(&r, key, &headers, dst[:0]) }
		if n := testing.AllocsPerRun(100, route); n != 0 {
			t.Errorf("%v: %v allocations", kind, n)
		}
	}
}
