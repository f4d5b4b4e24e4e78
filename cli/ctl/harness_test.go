package ctl

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
	"github.com/warrenmq/warren/admin/client"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock")) // ends a second after the last match
}

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// identity is a node that answers nothing else.
type identity struct{ admin.Operations }

func (identity) Identity(context.Context) (admin.Identity, error) {
	return admin.Identity{Node: "rabbit@node-01", Version: "test", PID: 4711}, nil
}

// A desk is a world whose surroundings are the test's, with a node.
type desk struct {
	t         testing.TB
	out, errs bytes.Buffer
	env       map[string]string
	dir       string
	stdin     string
	names     client.Names
}

// newDesk serves ops, if there are any, for a directory until the test ends.
func newDesk(t testing.TB, ops admin.Operations) *desk {
	d := &desk{t: t, env: map[string]string{}, dir: t.TempDir()}
	if ops == nil {
		return d
	}
	ln, cleanup, err := admin.ListenSocket(t.Context(), d.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, ln, api.Options{Operations: ops}) }()
	t.Cleanup(func() { cancel(); <-served; cleanup() })
	return d
}

// run runs a command line of rabbitmqctl and returns the exit code.
func (d *desk) run(line ...string) int { return d.runAs("rabbitmqctl", line...) }

func (d *desk) runAs(tool string, line ...string) int {
	d.out.Reset()
	d.errs.Reset()
	return Main(d.t.Context(), World{
		Stdin: strings.NewReader(d.stdin), Stdout: &d.out, Stderr: &d.errs, Version: "test", DataDir: d.dir,
		Getenv: func(name string) string { return d.env[name] }, Now: time.Now, Alive: Alive, Names: d.names,
	}, tool, line)
}

// wants runs a command line and compares all that comes of it.
func (d *desk) wants(code int, out, errs string, line ...string) {
	d.t.Helper()
	if got := d.run(line...); got != code || d.out.String() != out || d.errs.String() != errs {
		d.t.Errorf("%q: exit code %d, want %d\nprinted %q\nwant    %q\nerrors %q\nwant   %q", line, got, code, d.out.String(), out, d.errs.String(), errs)
	}
}

// golden compares what was printed with a file; -rewrite makes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}
