package catalog

import (
	"iter"

	"github.com/warrenmq/warren/internal/pmap"
)

// names finds objects by name fast and lists them in order.
type names[T any] struct {
	fast  pmap.Hash[T]
	order pmap.Map[T]
}

func (n names[T]) get(name string) (T, bool)      { return n.fast.Get(name) }
func (n names[T]) getBytes(name []byte) (T, bool) { return n.fast.GetBytes(name) }
func (n names[T]) len() int                       { return n.order.Len() }
func (n names[T]) set(name string, v T) names[T] {
	return names[T]{n.fast.Set(name, v), n.order.Set(name, v)}
}

func (n names[T]) delete(name string) names[T] {
	return names[T]{n.fast.Delete(name), n.order.Delete(name)}
}
func (n names[T]) all(from string) iter.Seq[T] { return seconds(n.order.From(from)) }

// seconds drops the keys of a sequence.
func seconds[K, V any](in iter.Seq2[K, V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range in {
			if !yield(v) {
				return
			}
		}
	}
}

// firsts drops the values of a sequence.
func firsts[K, V any](in iter.Seq2[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range in {
			if !yield(k) {
				return
			}
		}
	}
}
