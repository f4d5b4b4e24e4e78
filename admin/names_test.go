package admin

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Processes of one machine are found by the names of their nodes, as long as
// they live (estate R15).
func TestNames(t *testing.T) {
	gone := map[int]bool{}
	n := &Names{Dir: filepath.Join(t.TempDir(), "a", "nodes"), Alive: func(pid int) bool { return !gone[pid] }}
	if all := n.List(); len(all) != 0 {
		t.Fatalf("%v in no directory", all)
	}
	enter := func(name, data string, pid int) error {
		return n.Enter(Named{Name: name, Data: data, PID: pid, Cluster: "127.0.0.1:25672"})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(enter("rabbit@node-01", "/1", 11))
	must(enter("rabbit@node-02.example.com", "/2", 12))
	must(enter("hare@node-01", "/3", 13))
	for name, data := range map[string]string{
		"rabbit@node-01": "/1", "hare": "/3", "rabbit@node-02": "/2", "rabbit@node-02.example.com": "/2",
		"rabbit": "", "rabbit@node-03": "", "": "", "../x": "",
	} {
		if x, ok := n.Find(name); ok != (data != "") || x.Data != data {
			t.Errorf("%q: %+v, %v", name, x, ok)
		}
	}
	if err := enter("hare@node-01", "/4", 14); !errors.Is(err, ErrNameTaken) {
		t.Errorf("a name was taken from who lives: %v", err)
	}
	gone[13] = true
	if _, ok := n.Find("hare"); ok {
		t.Error("a process that is gone was found")
	}
	must(enter("hare@node-01", "/4", 14))
	must(n.Leave(Named{Name: "hare@node-01", Data: "/3", PID: 13}))
	if x, ok := n.Find("hare"); !ok || x.Data != "/4" {
		t.Errorf("another's leave took it: %+v, %v", x, ok)
	}
	must(n.Leave(Named{Name: "hare@node-01", Data: "/4", PID: 14}))
	if len(n.List()) != 2 {
		t.Errorf("%v", n.List())
	}

	must(os.WriteFile(filepath.Join(n.Dir, "x@y.json"), []byte(`{"name":"z@y","data":"/5","pid":15}`), 0o600))
	must(os.WriteFile(filepath.Join(n.Dir, "broken.json"), []byte(`{`), 0o600))
	if len(n.List()) != 2 {
		t.Errorf("%v: an entry under another's name", n.List())
	}
	must(os.Chmod(n.Dir, 0o777))
	if len(n.List()) != 0 {
		t.Error("a directory into which anybody may write was believed")
	}
}

func TestNamesDir(t *testing.T) {
	for _, tc := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"WARREN_NODES": "/w", "XDG_RUNTIME_DIR": "/x", "HOME": "/h"}, "/w"},
		{map[string]string{"XDG_RUNTIME_DIR": "/x", "HOME": "/h"}, "/x/warren/nodes"},
		{map[string]string{"HOME": "/h"}, "/h/.warren/nodes"},
		{map[string]string{"HOME": "."}, ""},
		{nil, ""},
	} {
		if got := NamesDir(func(name string) string { return tc.env[name] }); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.env, got, tc.want)
		}
	}
}
