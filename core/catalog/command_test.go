package catalog

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/message"
)

// filled draws a value for every field of a struct.
func filled(t *rapid.T, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Interface().(type) {
		case message.Table:
			if rapid.Bool().Draw(t, "table") {
				f.SetBytes(message.AppendField(nil, "x", message.StringOf(rapid.String().Draw(t, "value"))))
			}
			continue
		case []byte:
			if b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"); len(b) > 0 {
				f.SetBytes(b)
			}
			continue
		case []string:
			if s := rapid.SliceOf(rapid.String()).Draw(t, "strings"); len(s) > 0 {
				f.Set(reflect.ValueOf(s))
			}
			continue
		case []Shift, []Recovered:
			for range rapid.IntRange(0, 2).Draw(t, "members") {
				f.Set(reflect.Append(f, reflect.Zero(f.Type().Elem())))
				filled(t, f.Index(f.Len()-1))
			}
			continue
		case []uint64:
			if s := rapid.SliceOf(rapid.Uint64()).Draw(t, "numbers"); len(s) > 0 {
				f.Set(reflect.ValueOf(s))
			}
			continue
		}
		switch f.Kind() {
		case reflect.Struct:
			filled(t, f)
		case reflect.String:
			f.SetString(rapid.String().Draw(t, "string"))
		case reflect.Bool:
			f.SetBool(rapid.Bool().Draw(t, "bool"))
		case reflect.Uint8:
			f.SetUint(1) // an enumeration: every one has a 1
		case reflect.Uint64:
			f.SetUint(rapid.Uint64().Draw(t, "uint"))
		case reflect.Int64:
			f.SetInt(rapid.Int64().Draw(t, "int"))
		default:
			t.Fatalf("field of kind %v", f.Kind())
		}
	}
}

// TestCommandRoundTrip fills every field of every command: one that its codec
// forgets would come back empty.
func TestCommandRoundTrip(t *testing.T) {
	for o := opSetCluster; o < opsEnd; o++ {
		rapid.Check(t, func(t *rapid.T) {
			cmd := newCommand(o)
			if cmd == nil || cmd.op() != o {
				t.Fatalf("op %d makes %T", o, cmd)
			}
			filled(t, reflect.ValueOf(cmd).Elem())
			stamp := rapid.Int64().Draw(t, "stamp")
			want := Proposal{Stamp: stamp, Command: cmd}
			if rapid.Bool().Draw(t, "marked") {
				want.Mark = Mark{rapid.Uint64().Draw(t, "incarnation"), rapid.Uint64Min(1).Draw(t, "number")}
			}
			data := AppendProposal(nil, want)
			got, rest, err := ParseProposal(append(data, 7))
			if err != nil || len(rest) != 1 || !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v, rest %x, %v\nwant %+v", got, rest, err, want)
			}
			for i := range data {
				if _, _, err := ParseProposal(data[:i]); !errors.Is(err, ErrCommand) {
					t.Fatalf("%T cut at %d: %v", cmd, i, err)
				}
			}
		})
	}
}

// TestUnknownCommand: an entry with a command from a later version stops the
// machine before anything of the entry is applied.
func TestUnknownCommand(t *testing.T) {
	m := New()
	entry := AppendCommand(nil, 1, &AddVHost{Name: "/"})
	entry = append(entry, 0xff, 0x7f, 2, 0) // op 16383
	var unknown *UnknownCommandError
	if _, err := m.ApplyEntry(1, entry, nil); !errors.As(err, &unknown) || unknown.Op != 16383 {
		t.Fatalf("%v", err)
	}
	if m.View().VHost("/") != nil || m.View().Revision() != 0 {
		t.Fatal("half of the entry was applied")
	}
	longer := AppendCommand(nil, 1, &RemoveVHost{Name: "a"})
	longer[2]++ // one byte more of fields than this version knows
	if _, err := m.ApplyEntry(1, append(longer, 0), nil); !errors.Is(err, ErrCommand) {
		t.Fatalf("fields too many: %v", err)
	}
}

func FuzzParseProposal(f *testing.F) {
	for _, cmd := range []Command{
		&SetCluster{Cluster{ID: "id", Generation: 1}}, &AddShard{Replicas: []uint64{1, 2}},
		&SetUser{Name: "u", Password: []byte{1}, Tags: []string{"admin"}},
		&DeclareQueue{VHost: "/", QueueSpec: QueueSpec{Name: "q", Args: message.AppendField(nil, "x-max-length", message.IntOf(message.Int32, 5))}},
		&DeclareExchange{VHost: "/", ExchangeSpec: ExchangeSpec{Name: "e", Type: 3}},
		&Bind{Link{VHost: "/", Source: "e", Destination: "q", Key: "a.#"}},
		&SetPolicy{Priority: -1, Name: "p", VHost: "/", Shifts: []Shift{{Policy: "p", Queues: []uint64{4, 5}, Exchanges: []uint64{6}}}},
		&SetLimits{VHost: "/", Limits: Limits{Queues: AtMost(0)}},
		&AddIntent{Kind: Replace, Subject: 1, With: []uint64{2}}, &StepIntent{ID: 2, To: "copied"}, &EndIntent{ID: 2},
		&SetNodeState{ID: 1, State: Leaving}, &EndIncarnation{Number: 1, Witnesses: []uint64{2}, Term: 1}, &Refuse{Text: "no"},
		&NoteMembers{Shard: theShard, Members: Members{Voters: []uint64{1, 2}, Others: []uint64{3}, At: 9}},
		&Recover{Node: 1, Generation: 2, Shards: []Recovered{{ID: theShard, Kept: true}, {ID: 99}}}, &Recover{Node: 1, Generation: 1},
		&GiveUpShard{ID: theShard, ShardSpec: ShardSpec{Replicas: []uint64{1}}},
		&SetShard{ID: theShard, ShardSpec: ShardSpec{Replicas: []uint64{1, 2}, Leader: 2}},
	} {
		f.Add(AppendCommand(nil, 12345, cmd))
		f.Add(AppendProposal(nil, Proposal{Mark: Mark{1, 1}, Stamp: 12345, Command: cmd}))
	}
	f.Add([]byte{0, 0, 0, 3, 0, 0}) // a mark that is none
	f.Fuzz(func(t *testing.T, data []byte) {
		p, rest, err := ParseProposal(data)
		if err != nil {
			var unknown *UnknownCommandError
			if !errors.As(err, &unknown) && !errors.Is(err, ErrCommand) {
				t.Fatal(err)
			}
			return
		}
		if again := AppendProposal(nil, p); !bytes.Equal(again, data[:len(data)-len(rest)]) {
			t.Fatalf("%x comes back as %x", data, again)
		}
		m, _ := setup()
		m.Propose(p) // whatever it says, it must not panic
		if _, err := load(stored(m)); err != nil {
			t.Fatalf("%T %+v cannot be loaded again: %v", p.Command, p.Command, err)
		}
	})
}

func stored(m *Machine) map[string][]byte {
	store := map[string][]byte{}
	m.View().Export(func(key, value []byte) { store[string(key)] = value })
	return store
}
