package storagetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/storage"
)

// stateModel is the naive State: a map.
type stateModel map[string]string

// A stateOp is one operation of a batch, on the model and on the real thing.
type stateOp struct {
	kind         string
	key, operand string // operand: the value, or the range's end
}

func (op stateOp) String() string { return fmt.Sprintf("%s(%q,%q)", op.kind, op.key, op.operand) }

func (op stateOp) addTo(b storage.Batch) {
	switch op.kind {
	case "set":
		b.Set([]byte(op.key), []byte(op.operand))
	case "delete":
		b.Delete([]byte(op.key))
	case "range":
		b.DeleteRange([]byte(op.key), []byte(op.operand))
	}
}

func (m stateModel) apply(op stateOp) {
	switch op.kind {
	case "set":
		m[op.key] = op.operand
	case "delete":
		delete(m, op.key)
	case "range":
		maps.DeleteFunc(m, func(k, _ string) bool { return k >= op.key && k < op.operand })
	}
}

// dump gives what stateDump gives.
func (m stateModel) dump(lower, upper string) string {
	out := ""
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= lower && (upper == "" || k < upper) {
			if out != "" {
				out += " "
			}
			out += k + "=" + m[k]
		}
	}
	return out
}

func drawStateKey() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-d]{1,3}`)
}

func drawStateOp() *rapid.Generator[stateOp] {
	return rapid.Custom(func(t *rapid.T) stateOp {
		op := stateOp{
			kind: rapid.SampledFrom([]string{"set", "set", "set", "delete", "range"}).Draw(t, "kind"),
			key:  drawStateKey().Draw(t, "key"),
		}
		switch op.kind {
		case "set":
			op.operand = rapid.StringMatching(`[0-9]{0,4}`).Draw(t, "value")
		case "range":
			op.operand = drawStateKey().Draw(t, "end")
		}
		return op
	})
}

func drawStateBatch(t *rapid.T) []stateOp {
	return rapid.SliceOfN(drawStateOp(), 0, 8).Draw(t, "batch")
}

// runStateModel plays random batches, flushes and reads on a State and on a map.
func runStateModel(t *testing.T, open func(t testing.TB) storage.State) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t)
		model := stateModel{}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				b := s.NewBatch()
				for _, op := range drawStateBatch(rt) {
					op.addTo(b)
					model.apply(op)
				}
				stateCommit(rt, b)
			},
			"flush": func(rt *rapid.T) {
				if err := s.Flush(); err != nil {
					rt.Fatal(err)
				}
			},
			"get": func(rt *rapid.T) {
				key := drawStateKey().Draw(rt, "key")
				got, err := s.Get(nil, []byte(key))
				want, ok := model[key]
				if ok != (err == nil) || string(got) != want || err != nil && !errors.Is(err, storage.ErrNotFound) {
					rt.Fatalf("get %q: %q, %v; want %q, %v", key, got, err, want, ok)
				}
			},
			"range": func(rt *rapid.T) {
				lower, upper := drawStateKey().Draw(rt, "lower"), drawStateKey().Draw(rt, "upper")
				if lower < upper {
					if got, want := stateDump(rt, s, lower, upper), model.dump(lower, upper); got != want {
						rt.Fatalf("[%q, %q): got %q, want %q", lower, upper, got, want)
					}
				}
			},
			"": func(rt *rapid.T) {
				if got, want := stateDump(rt, s, "", ""), model.dump("", ""); got != want {
					rt.Fatalf("got %q, want %q", got, want)
				}
			},
		})
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
