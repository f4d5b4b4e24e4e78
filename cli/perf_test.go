package cli

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPerf(t *testing.T) {
	for _, args := range []string{
		"--count 1000",
		"--count 1000 --confirm-window 0 --prefetch 0 --transient",
		"--count 999 --producers 3 --consumers 4 --queues 2 --confirm-window 10 --prefetch 7 --size 32",
		"--count 300 --rate 10000 --producers 2",
		"--time 50ms --confirm-window 5",
		"--count 50 --consumers 0",
	} {
		t.Run(args, func(t *testing.T) {
			w := newWorld(t)
			b := newFakeBroker()
			w.Dial = b.dial
			w.wants(exitOK, w.run(append([]string{"perf", "--json", "--drain", "10s"}, strings.Fields(args)...)...))
			var res perfResult
			if err := json.Unmarshal([]byte(w.out.String()), &res); err != nil {
				t.Fatal(err)
			}
			if !res.OK || res.Sent == 0 || res.Consumers > 0 && res.Received != res.Sent || res.Count > 0 && res.Sent != int64(res.Count) {
				t.Errorf("%+v", res)
			}
			if res.Window > 0 && (res.Confirmed != res.Sent || res.Confirm.N != uint64(res.Sent)) {
				t.Errorf("confirmed %d, measured %d of %d", res.Confirmed, res.Confirm.N, res.Sent)
			}
			if len(b.queues) != 0 {
				t.Errorf("%d queues are left", len(b.queues))
			}
		})
	}
}

// Whatever a broker does wrong is found, named and fails the run.
func TestPerfFindsFaults(t *testing.T) {
	for _, tc := range []struct {
		name, args, want string
		fault            func(*fakeBroker)
	}{
		{"lost", "", "lost 1,", func(b *fakeBroker) { b.loseAt = 50 }},
		{"lost without confirms", "--confirm-window 0", "lost 1,", func(b *fakeBroker) { b.loseAt = 50 }},
		{"duplicate", "", "duplicates 1 ", func(b *fakeBroker) { b.doubleAt = 50 }},
		{"order", "", "out of order 1,", func(b *fakeBroker) { b.swapAt = 50 }},
		{"corrupt", "", "corrupt 1,", func(b *fakeBroker) { b.spoilAt = 50 }},
		{"rejected", "", "rejected 1,", func(b *fakeBroker) { b.rejectAt = 50 }},
		{"unconfirmed", "", "unconfirmed 51", func(b *fakeBroker) { b.muteFrom = 50 }},
		{"broken", "", "producer 0: EOF", func(b *fakeBroker) { b.breakAt = []int{50} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			b := newFakeBroker()
			tc.fault(b)
			w.Dial = b.dial
			args := append([]string{"perf", "--count", "100", "--drain", "50ms"}, strings.Fields(tc.args)...)
			w.wants(exitFailed, w.run(args...))
			w.printed(w.out.String()+w.errs.String(), "NOT RIGHT: ", tc.want)
		})
	}
}

func TestPayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := payload{rapid.Uint64().Draw(t, "run"), rapid.Uint32().Draw(t, "producer"), rapid.Uint64().Draw(t, "sequence"), time.Duration(rapid.Int64().Draw(t, "sent"))}
		body := rapid.SliceOfN(rapid.Byte(), payloadSize, 200).Draw(t, "body")
		want.put(body, castagnoli())
		if got, err := readPayload(body, castagnoli()); err != nil || got != want {
			t.Fatalf("%+v, %v", got, err)
		}
		body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := readPayload(body, castagnoli()); err == nil {
			t.Fatal("a changed bit was not found")
		}
	})
	if _, err := readPayload(make([]byte, payloadSize-1), castagnoli()); err == nil {
		t.Error("a short body was read")
	}
}

func TestHist(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<rapid.IntRange(1, 62).Draw(t, "bits")), 1, 200).Draw(t, "values")
		var a, b hist
		for i, v := range values {
			if i%2 == 0 {
				a.add(time.Duration(v))
			} else {
				b.add(time.Duration(v))
			}
		}
		a.merge(&b)
		slices.Sort(values)
		for _, q := range []float64{0, .5, .95, .99, 1} {
			want := values[min(int(q*float64(len(values))), len(values)-1)]
			got := int64(a.quantile(q))
			if got < want || float64(got-want) > float64(want)/64 {
				t.Fatalf("quantile %g of %v is %d, want %d", q, values, got, want)
			}
		}
	})
	var empty hist
	if empty.quantile(.5) != 0 || empty.summary().N != 0 {
		t.Error("an empty histogram has values")
	}
}

func TestBitset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.IntRange(0, 300))
		var a, b bitset
		in := func(s *bitset, name string) map[int]bool {
			m := map[int]bool{}
			for _, n := range numbers.Draw(t, name) {
				if s.set(n) == m[n] {
					t.Fatalf("set %d reports wrongly", n)
				}
				m[n] = true
			}
			return m
		}
		ma, mb := in(&a, "a"), in(&b, "b")
		missing := 0
		for n := range ma {
			if !mb[n] {
				missing++
			}
		}
		if a.count() != len(ma) || a.missing(b) != missing || !slices.Equal(a, a.clone()) {
			t.Fatalf("count %d of %d, missing %d of %d", a.count(), len(ma), a.missing(b), missing)
		}
		for n := range 400 {
			if a.has(n) != ma[n] {
				t.Fatalf("has %d", n)
			}
		}
	})
}

// What perf itself costs for a message bounds what it can measure.
func BenchmarkPerfRead(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run("size="+map[int]string{100: "100", 1024: "1k"}[size], func(b *testing.B) {
			l := newPerfLedger(1, 1)
			l.producers[0].sent.Store(1 << 40)
			r := l.reader()
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(rand.Uint32())
			}
			msgs := []incoming{{Body: body}}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for i := range b.N {
				payload{1, 0, uint64(i), 0}.put(body, l.table)
				r.read(msgs, time.Millisecond)
			}
		})
	}
}
