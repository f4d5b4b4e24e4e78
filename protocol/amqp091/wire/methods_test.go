package wire

import (
	"reflect"
	"testing"
)

// fill gives every field of a method a value that differs from zero.
func fill(m Method, n int) {
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case Table:
			f.Set(reflect.ValueOf(Table{{"k", Int32(int32(n + i))}}))
		case []byte:
			f.SetBytes([]byte{byte(n), byte(i), 0})
		case string, Secret:
			f.SetString(string(rune('a'+n)) + string(rune('a'+i)))
		case bool:
			f.SetBool((n+i)%2 == 0)
		default:
			f.SetUint(^uint64(0)>>(64-f.Type().Bits()) - uint64(n+i))
		}
	}
}

// TestEveryMethod: each method comes back as it went, and no part of it is
// taken for the whole.
func TestEveryMethod(t *testing.T) {
	count := 0
	for class := range uint16(100) {
		for number := range uint16(130) {
			id := MakeID(class, number)
			m := newMethod(id)
			if (m != nil) != id.Known() {
				t.Errorf("%v: known %v, made %v", id, id.Known(), m != nil)
			}
			if m == nil {
				continue
			}
			count++
			if m.ID() != id || id.Class() != class || id.Method() != number {
				t.Errorf("%v calls itself %v", id, m.ID())
			}
			for n := range 2 {
				fill(m, n)
				roundTrip(t, m)
			}
		}
	}
	if count != 66 {
		t.Errorf("%d methods, want 66", count)
	}
}

func roundTrip(t *testing.T, m Method) {
	t.Helper()
	if err := m.Validate(); err != nil {
		t.Errorf("%v: %v", m.ID(), err)
	}
	payload := m.Append(nil)
	got, err := DecodeMethod(payload)
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%v became %+v, %v; was %+v", m.ID(), got, err, m)
	}
	f, n, err := ScanFrame(m.AppendFrame(nil, 9), 0)
	if err != nil || n != len(payload)+FrameOverhead || string(f.Payload) != string(payload) || f.Channel != 9 {
		t.Errorf("%v in a frame: %+v, %v", m.ID(), f, err)
	}
	for i := range payload {
		if _, err := DecodeMethod(payload[:i]); err == nil {
			t.Errorf("%v of %d bytes decodes from %d", m.ID(), len(payload), i)
		}
	}
	if _, err := DecodeMethod(append(payload, 0)); err == nil {
		t.Errorf("%v decodes with a byte too many", m.ID())
	}
}

func TestMethodKinds(t *testing.T) {
	for _, c := range []struct {
		id            ID
		name          string
		content, sync bool
	}{
		{IDBasicPublish, "basic.publish", true, false},
		{IDBasicDeliver, "basic.deliver", true, false},
		{IDBasicReturn, "basic.return", true, false},
		{IDBasicGetOK, "basic.get-ok", true, false},
		{IDQueueDeclare, "queue.declare", false, true},
		{IDBasicAck, "basic.ack", false, false},
		{MakeID(60, 999), "method 60.999", false, false},
	} {
		if c.id.String() != c.name || c.id.HasContent() != c.content || c.id.Sync() != c.sync {
			t.Errorf("%v: content %v, sync %v", c.id, c.id.HasContent(), c.id.Sync())
		}
	}
}
