package checker

import (
	"bytes"
	"testing"
)

func TestBodies(t *testing.T) {
	for _, size := range []int{0, headerLen, headerLen + 1, 4096} {
		id := ID{Producer: 3, Seq: 1 << 20}
		body := AppendBody([]byte("before"), id, size)[len("before"):]
		if want := max(size, headerLen); len(body) != want {
			t.Errorf("size %d: %d bytes, want %d", size, len(body), want)
		}
		if got, err := Parse(body); err != nil || got != id {
			t.Errorf("size %d: %v, %v", size, got, err)
		}
		for i := range body {
			damaged := bytes.Clone(body)
			damaged[i] ^= 0x10
			if _, err := Parse(damaged); err == nil {
				t.Errorf("size %d: a flip in byte %d was not found", size, i)
			}
		}
	}
}

// Bytes of another message are found, also under a checksum that is theirs.
func TestSwappedBytes(t *testing.T) {
	body := AppendBody(nil, ID{7, 1}, 64)
	copy(body[headerLen:], AppendBody(nil, ID{7, 2}, 64)[headerLen:])
	sum := checksum(body)
	body[12], body[13], body[14], body[15] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	if id, err := Parse(body); err == nil {
		t.Errorf("taken for %v", id)
	}
	if _, err := Parse([]byte("hello")); err == nil {
		t.Error("a body without a head was taken")
	}
}
