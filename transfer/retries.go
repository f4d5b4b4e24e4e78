package transfer

import "container/heap"

// retries are letters by the time at which they are sent again.
type retries []*letter

// Len implements heap.Interface.
func (r *retries) Len() int { return len(*r) }

// Less implements heap.Interface: letters of one time go by their numbers.
func (r *retries) Less(i, j int) bool {
	a, b := (*r)[i], (*r)[j]
	return a.retry < b.retry || a.retry == b.retry && a.number < b.number
}

// Swap implements heap.Interface.
func (r *retries) Swap(i, j int) { (*r)[i], (*r)[j] = (*r)[j], (*r)[i] }

// Push implements heap.Interface; see push.
func (r *retries) Push(x any) { *r = append(*r, x.(*letter)) } //nolint:forcetypeassert // only push calls it

// Pop implements heap.Interface; see pop.
func (r *retries) Pop() any {
	s := *r
	x := s[len(s)-1]
	s[len(s)-1] = nil
	*r = s[:len(s)-1]
	return x
}

func (r *retries) push(l *letter) { heap.Push(r, l) }

func (r *retries) pop() *letter { return heap.Pop(r).(*letter) } //nolint:forcetypeassert // only push puts there
