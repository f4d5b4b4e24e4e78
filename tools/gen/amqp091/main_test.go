package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	tablePath = "../../../spec/amqp091/methods.txt"
	wirePath  = "../../../protocol/amqp091/wire"
)

// TestNoDiff: the generated files in the tree are what the table gives.
func TestNoDiff(t *testing.T) {
	out := t.TempDir()
	if err := run(tablePath, out); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(out, "*_gen.go"))
	if err != nil || len(made) == 0 {
		t.Fatalf("nothing was generated: %v", err)
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(wirePath, filepath.Base(path)))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what the table gives: run go generate ./protocol/amqp091/wire", filepath.Base(path))
		}
	}
	there, err := filepath.Glob(filepath.Join(wirePath, "*_gen.go"))
	if err != nil || len(there) != len(made) {
		t.Errorf("%d generated files in the tree, %d from the table", len(there), len(made))
	}
}

func TestBadTables(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"word", "clas basic 60", `line 1: unknown word "clas"`},
		{"orphan", "\nmethod a 1 :", "line 2: a method before any class"},
		{"type", "class a 1\nmethod b 2 : c word", "known type"},
		{"flag", "class a 1\nmethod b 2 fast :", `unknown flag "fast"`},
		{"id", "class a 70000", "id of class a"},
		{"colon", "class a 1\nmethod b 2", "after ':'"},
		{"closes", "reply oops 700 nothing", `closes "nothing"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestBitRuns: bits share an octet only with their neighbours, at most eight.
func TestBitRuns(t *testing.T) {
	var fields []field
	for range 9 {
		fields = append(fields, field{"b", "bit"})
	}
	fields = append(fields, field{"s", "short"}, field{"b", "bit"})
	var got []int
	for _, r := range runs(fields) {
		got = append(got, len(r))
	}
	if len(got) != 4 || got[0] != 8 || got[1] != 1 || got[2] != 1 || got[3] != 1 {
		t.Fatalf("runs of %v", got)
	}
}
