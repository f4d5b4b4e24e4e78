// Package heap is a binary heap in a slice of values: what the standard one
// gives, without an allocation and an interface call for every element.
package heap

// An Item knows which of two comes first.
type Item[T any] interface{ Before(T) bool }

// Push adds x and returns the heap; h[0] is its first.
func Push[T Item[T]](h []T, x T) []T {
	h = append(h, x)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !x.Before(h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = x
	return h
}

// Pop takes the first out and returns the heap, which must not be empty.
func Pop[T Item[T]](h []T) ([]T, T) {
	top, n := h[0], len(h)-1
	x := h[n]
	var none T
	h[n] = none // it may refer to something
	h = h[:n]
	if n == 0 {
		return h, top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && h[down+1].Before(h[down]) {
			down++
		}
		if !h[down].Before(x) {
			break
		}
		h[i] = h[down]
		i = down
	}
	h[i] = x
	return h, top
}
