package catalog

import (
	"errors"
	"maps"
	"slices"
	"testing"
)

func load(store map[string][]byte) (*Machine, error) {
	l := NewLoader()
	for _, key := range slices.Sorted(maps.Keys(store)) {
		if err := l.Put([]byte(key), store[key]); err != nil {
			return nil, err
		}
	}
	return l.Machine(), nil
}

func TestLoaderRefuses(t *testing.T) {
	m := New()
	m.Apply(1, &AddVHost{Name: "/"})
	store := map[string][]byte{}
	m.TakeDirty(func(key, value []byte, _ bool) { store[string(key)] = value })
	if _, err := load(store); err != nil {
		t.Fatal(err)
	}
	for key, value := range store {
		damaged := maps.Clone(store)
		for name, bad := range map[string][]byte{
			"no value": nil, "later version": {9}, "cut": value[:len(value)-1], "longer": append(slices.Clone(value), 0),
		} {
			damaged[key] = bad
			if _, err := load(damaged); !errors.Is(err, ErrStored) {
				t.Errorf("key %x, %s: %v", key, name, err)
			}
		}
	}
	without := maps.Clone(store)
	delete(without, string(rune(spaceVHost))+idKey(reservedIDs+1))
	if _, err := load(without); !errors.Is(err, ErrStored) {
		t.Errorf("exchanges without their vhost: %v", err)
	}
	l := NewLoader()
	if err := l.Put([]byte{99}, []byte{1}); !errors.Is(err, ErrStored) {
		t.Errorf("an unknown space: %v", err)
	}
	if err := l.Put([]byte{98}, []byte{1}); !errors.Is(err, ErrStored) {
		t.Errorf("keys out of order: %v", err)
	}
}
