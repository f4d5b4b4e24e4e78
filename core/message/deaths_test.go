package message

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func deathGen() *rapid.Generator[Death] {
	return rapid.Custom(func(t *rapid.T) Death {
		d := Death{
			Queue:    rapid.SampledFrom([]string{"a", "b", "c", ""}).Draw(t, "queue"),
			Reason:   rapid.SampledFrom([]string{"rejected", "expired", "maxlen"}).Draw(t, "reason"),
			Exchange: rapid.String().Draw(t, "exchange"),
			Keys:     rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "keys"),
			Time:     rapid.Int64().Draw(t, "time"),
			HasTTL:   rapid.Bool().Draw(t, "has ttl"),
		}
		if d.HasTTL {
			d.TTL = rapid.Uint64Range(0, 1<<63-1).Draw(t, "ttl")
		}
		return d
	})
}

// The history against a list of everything that happened.
func TestDeathsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ds Deaths
		var all []Death // the latest last
		for range rapid.IntRange(0, 30).Draw(t, "deaths") {
			d := deathGen().Draw(t, "death")
			ds, all = ds.Add(d), append(all, d)
		}
		var want Deaths
		same := func(a Death) func(Death) bool {
			return func(b Death) bool { return a.Queue == b.Queue && a.Reason == b.Reason }
		}
		for _, d := range slices.Backward(all) {
			if slices.ContainsFunc(want, same(d)) {
				continue
			}
			first := slices.IndexFunc(all, same(d))
			w := all[first]
			w.First = first == 0
			for _, x := range all {
				if same(d)(x) {
					w.Count++
				}
			}
			want = append(want, w)
		}
		if !reflect.DeepEqual(ds, want) {
			t.Fatalf("history\n%+v, want\n%+v", ds, want)
		}
		m := Message{Overlay: AppendOverlay(nil, OverlayDeaths, AppendDeaths(nil, ds))}
		if got, err := m.Deaths(); err != nil || !reflect.DeepEqual(got, ds) {
			t.Fatalf("read %+v, %v, want %+v", got, err, ds)
		}
		for _, q := range []string{"a", "b", "c"} {
			i := slices.IndexFunc(ds, func(d Death) bool { return d.Queue == q })
			want := i >= 0 && !slices.ContainsFunc(ds[:max(i+1, 0)], func(d Death) bool { return d.Reason == "rejected" })
			if ds.Cycle(q, "rejected") != want {
				t.Fatalf("cycle to %s with %+v: %v", q, ds, !want)
			}
		}
	})
}

func TestDeathsAreBounded(t *testing.T) {
	var ds Deaths
	for i := range 3 * maxDeaths {
		ds = ds.Add(Death{Queue: fmt.Sprint(i), Reason: "expired"})
		last := ds[len(ds)-1]
		if len(ds) > maxDeaths || ds[0].Queue != fmt.Sprint(i) || last.Queue != "0" || !last.First {
			t.Fatalf("%d deaths, the latest %+v, the first %+v", len(ds), ds[0], last)
		}
		if i > 0 && len(ds) > 1 && ds[1].Queue != fmt.Sprint(i-1) {
			t.Fatalf("the one before is %+v", ds[1])
		}
	}
}

func TestCopies(t *testing.T) {
	m := Message{}
	if _, _, ok := m.Copies(); ok {
		t.Error("copies out of nothing")
	}
	m.Overlay = AppendCopies(nil, [][]byte{[]byte("a"), {}}, [][]byte{[]byte("b")})
	shown, hidden, ok := m.Copies()
	if !ok || fmt.Sprintf("%s %s", shown, hidden) != "[a ] [b]" {
		t.Errorf("%s %s %v", shown, hidden, ok)
	}
	kept := m.AppendKept(AppendOverlay(nil, OverlayNoTTL, nil), OverlayCopies)
	if m.Overlay = kept; len(kept) == 0 {
		t.Error("the record before is lost")
	}
	if _, _, ok := m.Copies(); ok {
		t.Error("what was taken out is there")
	}
}
