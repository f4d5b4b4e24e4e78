package broker

import "testing"

// Who waits for memory on behalf of other nodes' sessions goes on once when there
// is room.
func TestMemoryHeld(t *testing.T) {
	b := &Broker{}
	b.memory.limit = 100
	resumed := 0
	if b.MemoryHeld(func() { resumed++ }) {
		t.Fatal("nothing is held")
	}
	b.memory.add(200)
	if !b.MemoryHeld(func() { resumed++ }) {
		t.Fatal("all is held, and one may go on")
	}
	b.memory.add(-50)
	if resumed != 0 {
		t.Fatal("too soon")
	}
	b.memory.add(-100)
	b.memory.add(200)
	b.memory.add(-200)
	if resumed != 1 || b.MemoryHeld(func() {}) {
		t.Errorf("resumed %d times", resumed)
	}
}
