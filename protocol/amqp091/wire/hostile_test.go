package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
)

// extremes are the lengths that break decoders.
func extremes() []uint64 {
	return []uint64{
		0, 1, 127, 128, 255, 256, math.MaxInt16, 1 << 15, math.MaxUint16,
		math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 63, math.MaxUint64,
	}
}

// allocated returns how many bytes f allocates, exactly.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// allowance is what decoding n bytes may allocate.
func allowance(n int) uint64 { return 16*uint64(n) + 64<<10 }

// TestDeclaredLengths writes extremes into every length field there is and
// checks that the decoder answers with an error, within its allowance.
func TestDeclaredLengths(t *testing.T) {
	table := func(tag Kind) func(n uint64) []byte {
		return func(n uint64) []byte {
			return binary.BigEndian.AppendUint32([]byte{1, 'k', byte(tag)}, uint32(n))
		}
	}
	for _, c := range []struct {
		name   string
		max    uint64 // greatest length the field can hold
		make   func(n uint64) []byte
		decode func([]byte) error
		fits   uint64 // the one length that is right, or none
	}{
		{"S", math.MaxUint32, table(KindString), ValidateTable, 0},
		{"x", math.MaxUint32, table(KindBytes), ValidateTable, 0},
		{"F", math.MaxUint32, table(KindTable), ValidateTable, 0},
		{"A", math.MaxUint32, table(KindArray), ValidateTable, 0},
		{"S decoded", math.MaxUint32, table(KindString), decodeOnly, 0},
		{"F decoded", math.MaxUint32, table(KindTable), decodeOnly, 0},
		{"key", math.MaxUint8, func(n uint64) []byte { return []byte{byte(n), 'V'} }, ValidateTable, 0},
		{
			"shortstr", math.MaxUint8,
			func(n uint64) []byte {
				return []byte{0, byte(IDBasicConsumeOK >> 16), 0, byte(IDBasicConsumeOK & 255), byte(n)}
			},
			decodeMethodOnly, 0,
		},
		{
			"longstr", math.MaxUint32,
			func(n uint64) []byte {
				return binary.BigEndian.AppendUint32(appendID(nil, IDConnectionSecure), uint32(n))
			},
			decodeMethodOnly, 0,
		},
		{
			"table argument", math.MaxUint32,
			func(n uint64) []byte {
				return binary.BigEndian.AppendUint32(append(appendID(nil, IDQueueDeclare), 0, 0, 0, 0), uint32(n))
			},
			decodeMethodOnly, 0,
		},
		{
			"headers", math.MaxUint32,
			func(n uint64) []byte {
				return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, uint16(HasHeaders)), uint32(n))
			},
			func(b []byte) error { return Props(b).Validate() }, 0,
		},
		{
			"shortstr property", math.MaxUint8,
			func(n uint64) []byte { return []byte{0x80, 0, byte(n)} },
			func(b []byte) error { return Props(b).Validate() }, 0,
		},
	} {
		for _, n := range extremes() {
			if n > c.max {
				continue
			}
			in := c.make(n)
			var err error
			spent := allocated(func() { err = c.decode(in) })
			if (err == nil) != (n == c.fits) {
				t.Errorf("%s = %d: %v", c.name, n, err)
			}
			var reply *Error
			if err != nil && (!errors.As(err, &reply) || !reply.Code.Hard()) {
				t.Errorf("%s = %d: %v closes no connection", c.name, n, err)
			}
			if spent > allowance(len(in)) {
				t.Errorf("%s = %d: %d bytes allocated", c.name, n, spent)
			}
		}
	}
}

func decodeOnly(b []byte) error {
	_, err := DecodeTable(b)
	return err
}

func decodeMethodOnly(b []byte) error {
	_, err := DecodeMethod(b)
	return err
}

// TestBodySizes: the declared size is only reported; nothing depends on it.
func TestBodySizes(t *testing.T) {
	for _, n := range extremes() {
		f, _, err := ScanFrame(AppendHeader(nil, 1, nil, n), 0)
		if err != nil {
			t.Fatal(err)
		}
		h, err := DecodeHeader(f.Payload)
		if err != nil || h.BodySize != n {
			t.Errorf("size %d read as %d, %v", n, h.BodySize, err)
		}
	}
}

func TestNesting(t *testing.T) {
	for _, k := range []Kind{KindTable, KindArray} {
		for _, depth := range []int{10, MaxDepth, MaxDepth + 1, 1000, 100_000} {
			body := nested(k, depth)
			err := ValidateTable(body)
			if (err == nil) != (depth <= MaxDepth) {
				t.Errorf("%c, %d deep: %v", k, depth, err)
			}
			var decoded Table
			spent := allocated(func() { decoded, err = DecodeTable(body) })
			if (err == nil) != (depth <= MaxDepth) || spent > allowance(len(body)) {
				t.Errorf("%c, %d deep, decoded: %v, %d bytes allocated", k, depth, err, spent)
			}
			if err == nil && depthOf(decoded[0].Value) != depth {
				t.Errorf("%c, %d deep: found %d levels", k, depth, depthOf(decoded[0].Value))
			}
		}
	}
}

// nested returns the body of a table with containers of kind k in it.
func nested(k Kind, depth int) []byte {
	// Written back to front, to stay linear.
	var out []byte
	for i := range depth {
		size := uint32(len(out))
		out = append(out, byte(size), byte(size>>8), byte(size>>16), byte(size>>24), byte(k))
		if k == KindTable || i == depth-1 {
			out = append(out, 'k', 1)
		}
	}
	slices.Reverse(out)
	return out
}

func depthOf(v Value) int {
	if t, ok := v.Table(); ok {
		if len(t) == 0 {
			return 1
		}
		return 1 + depthOf(t[0].Value)
	}
	if items, ok := v.Array(); ok {
		if len(items) == 0 {
			return 1
		}
		return 1 + depthOf(items[0])
	}
	return 0
}

// TestManyEntries: what takes one byte each must not add up.
func TestManyEntries(t *testing.T) {
	array := func(n int) []byte {
		v := Array(make([]Value, n)...)
		return Table{{"a", v}}.AppendBody(nil)
	}
	table := func(n int) []byte { return make(Table, n).AppendBody(nil) }
	for name, body := range map[string]func(int) []byte{"array": array, "table": table} {
		if err := ValidateTable(body(MaxEntries)); err != nil {
			t.Errorf("%s of the greatest size: %v", name, err)
		}
		if err := ValidateTable(body(MaxEntries + 1)); err == nil {
			t.Errorf("%s of one more passes", name)
		}
		in := body(MaxEntries)
		spent := allocated(func() {
			tab, _ := DecodeTable(in)
			tab[0].Value.Array()
		})
		if spent > allowance(len(in)) {
			t.Errorf("%s: %d bytes allocated for %d", name, spent, len(in))
		}
	}
}

func TestAppendRefusesLongNames(t *testing.T) {
	long := string(make([]byte, 256))
	m := &QueueDeclare{Queue: long}
	if err := m.Validate(); err == nil {
		t.Error("Validate passes a queue name of 256 bytes")
	}
	if err := (&QueueDeclare{Queue: long[:255]}).Validate(); err != nil {
		t.Errorf("Validate refuses a queue name of 255 bytes: %v", err)
	}
	if err := (&QueueDeclare{Arguments: Table{{long, Void()}}}).Validate(); err == nil {
		t.Error("Validate passes an argument's name of 256 bytes")
	}
	if err := (&Properties{Headers: Table{{long, Void()}}}).Validate(); err == nil {
		t.Error("Validate passes a header's name of 256 bytes")
	}
	if err := (&Properties{UserID: long}).Validate(); err == nil {
		t.Error("Validate passes a user-id of 256 bytes")
	}
	for name, f := range map[string]func(){
		"method":  func() { m.Append(nil) },
		"deliver": func() { AppendDeliver(nil, 1, "", 1, false, nil, []byte(long)) },
		"publish": func() { AppendPublish(nil, 1, long, "", false) },
		"key":     func() { Table{{long, Void()}}.Append(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("a string of 256 bytes was written")
				}
			}()
			f()
		})
	}
}
