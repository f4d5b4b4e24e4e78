package ctl

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/client"
)

// rawGet asks the node's socket for a path and returns the whole answer.
func rawGet(t *testing.T, dir, path string) string {
	t.Helper()
	conn, err := admin.DialSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// No password goes anywhere but to where it is hashed (X43): not into the log at
// its lowest level, not into what verbs print, not into what the node answers,
// and not into its files.
func TestPasswordsShowNowhere(t *testing.T) {
	const canary = "c4nary-Pa55word"
	n := newNode(t, t.TempDir(), nil)
	d := &desk{t: t, env: map[string]string{}, dir: n.dir}
	var shown strings.Builder
	run := func(stdin string, line ...string) {
		d.stdin = stdin
		d.run(line...)
		shown.WriteString(d.out.String() + d.errs.String())
	}
	run("", "add_user", "alice", canary)
	run("", "add_user", "alice", canary)                      // exists
	run("", "add_user", "bob", canary, canary)                // too many
	run("", "add_user", "dash", "-"+canary)                   // no option
	run("", "add_user", "dash", "--"+canary+"=1")             // nor this
	run("", "add_user", "-"+canary, "dash")                   // nor before the name
	run("", "change_password", "alice", canary, "--bad")      // a bad option behind it
	run("", "--bad", "add_user", "dash", canary)              // and before the verb
	run("", "add_user", "--timeout", "x", "dash", canary)     // an option that is bad
	run("", "hash_password", "-"+canary)                      // no option
	run("", "add_user", "", canary)                           // no name
	run("", "add_user", "x\x00y", canary)                     // no name either
	run("", "add_user", "carol", canary+"\x00")               // no password
	run("", "add_user", "carol", strings.Repeat(canary, 400)) // too long
	run(canary+"\n", "add_user", "dave")
	run(canary+"\n", "change_password", "alice")
	run("", "change_password", "nobody", canary)
	run("", "authenticate_user", "alice", canary)
	run("", "authenticate_user", "alice", "not "+canary)
	run("", "authenticate_user", "nobody", canary)
	run(canary, "hash_password")
	run("", "hash_password", canary, canary)
	for _, document := range []string{
		`{"users":[{"name":"erin","password":"` + canary + `","tags":[]}]}`,
		`{"users":[{"name":"frank","password_hash":"` + canary + `","tags":[]}]}`,
		`{"users":[{"name":"gina","password_hash":"` + canary + `","hashing_algorithm":"warren_password_record","tags":[]}]}`,
		`{"users":[{"name":"hugo","password_hash":"` + canary + `","hashing_algorithm":"` + "rabbit_password_hashing_md5" + `","tags":[]}]}`,
		`{"users":[{"name":"ida","password":["` + canary + `"],"tags":[]}]}`,
		`{"users":[{"name":"jo","password":"` + canary,
	} {
		run(document, "import_definitions")
	}
	run("", "list_users")
	run("", "report")
	run("", "environment")
	run("", "status")
	run("", "export_definitions", "-")
	for _, path := range []string{
		"/api/v1/status", "/api/v1/identity", "/api/v1/users", "/api/v1/permissions", "/api/v1/definitions", "/api/v1/plugins",
		"/api/v1/backup", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/api/v1/users/add", "/nothing",
	} {
		shown.WriteString(rawGet(t, n.dir, path))
	}
	c := client.New(n.dir)
	defer c.Close()
	if err := filepath.Walk(n.dir, func(path string, st os.FileInfo, err error) error {
		if err != nil || !st.Mode().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), canary) {
			t.Errorf("the password is in %s", path)
		}
		if perm := st.Mode().Perm(); perm&0o077 != 0 {
			t.Errorf("%s can be read by others: %v", path, perm)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"what is shown": shown.String(), "the log": n.log.String()} {
		if len(text) < 100 {
			t.Errorf("%s is only %q", name, text)
		}
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("the password is in %s: ...%s", name, text[max(0, i-200):min(len(text), i+50)])
		}
	}
}

// hostile are names that something might take for more than a name.
func hostile() []string {
	return []string{
		"../../../../tmp/warren-escaped", "..", "/etc/passwd", "a/../../b", `C:\con`, "CON", "a\nlevel=ERROR msg=forged", "a\r\nSet-Cookie: x",
		"\x1b[31mred\x1b[0m\x1b]0;title\a", "\u202egnp.exe", "日本語", "a b\tc", "%s%n%x", "'; drop table users; --", "\u009b31m",
	}
}

// A name is a name: it becomes no path (X36), no line of the log, no command of
// a terminal.
func TestNamesAreOnlyNames(t *testing.T) {
	n := newNode(t, t.TempDir(), nil)
	before := filesBelow(t, filepath.Dir(n.dir))
	d := &desk{t: t, env: map[string]string{}, dir: n.dir}
	var doc struct {
		VHosts   []map[string]any `json:"vhosts"`
		Queues   []map[string]any `json:"queues"`
		Exch     []map[string]any `json:"exchanges"`
		Policies []map[string]any `json:"policies"`
	}
	printed := ""
	for _, name := range hostile() {
		if code := d.run("-q", "add_user", name, "s3cret"); code != exitOK {
			t.Errorf("user %q: %d, %s", name, code, d.errs.String())
		}
		printed += d.out.String() + d.errs.String()
		if code := d.run("-q", "add_vhost", name); code != exitOK {
			t.Errorf("vhost %q: %d, %s", name, code, d.errs.String())
		}
		printed += d.out.String() + d.errs.String()
		d.run("-q", "set_permissions", "-p", name, name, ".*", ".*", ".*")
		printed += d.out.String() + d.errs.String()
		d.run("-q", "delete_user", name+"?")
		printed += d.out.String() + d.errs.String()
		doc.Queues = append(doc.Queues, map[string]any{"name": name, "vhost": name, "durable": true})
		doc.Exch = append(doc.Exch, map[string]any{"name": name, "vhost": name, "durable": true, "type": "topic"})
		doc.Policies = append(doc.Policies, map[string]any{"name": name, "vhost": name, "pattern": "^x", "definition": map[string]any{"max-length": 5}})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d.stdin = string(text)
	if code := d.run("import_definitions"); code != exitOK {
		t.Errorf("import: %d, %s", code, d.errs.String())
	}
	for _, line := range [][]string{{"list_users"}, {"list_vhosts"}, {"list_queues", "-p", hostile()[8]}, {"list_exchanges", "-p", hostile()[8]}, {"list_policies", "-p", hostile()[8]}, {"list_permissions", "-p", hostile()[8]}} {
		if code := d.run(append(line, "-q")...); code != exitOK {
			t.Errorf("%q: %d, %s", line, code, d.errs.String())
		}
		printed += d.out.String() + d.errs.String()
	}
	wantsHarmless(t, "what is printed", printed)
	wantsHarmless(t, "the log", n.log.String())
	for _, line := range strings.Split(n.log.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of the log is forged: %q", line)
		}
	}
	// A backup and its way back with all of it.
	file := filepath.Join(n.dir, "b")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(n.dir)
	defer c.Close()
	if _, err := client.TakeBackup(t.Context(), c, f, nil); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	after := filesBelow(t, filepath.Dir(n.dir))
	for name := range after {
		if !before[name] && !ours(name) {
			t.Errorf("a file that nobody should have made: %s", name)
		}
	}
	if _, err := os.Stat("/tmp/warren-escaped"); err == nil {
		t.Error("a name became a path")
	}
}

// ours reports whether a file is one that a node makes: numbers and fixed names.
func ours(name string) bool {
	base := filepath.Base(name)
	return !strings.ContainsAny(base, " %'\\:\x1b\n") && len(base) < 60 && !strings.Contains(base, "escaped") && !strings.Contains(base, "passwd")
}

func filesBelow(t *testing.T, dir string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	if err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		all[path] = true
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// wantsHarmless finds what a terminal or a reader of lines would obey.
func wantsHarmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			t.Errorf("%s has a control character %q", what, r)
			return
		}
	}
	if strings.Contains(text, "\nlevel=ERROR") || strings.Contains(text, "\nSet-Cookie") {
		t.Errorf("%s has a line that a name made", what)
	}
}

// A name that is too long, or none, is refused everywhere.
func TestNamesHaveBounds(t *testing.T) {
	n := newNode(t, t.TempDir(), nil)
	d := &desk{t: t, env: map[string]string{}, dir: n.dir}
	long := strings.Repeat("x", 64<<10)
	for _, line := range [][]string{
		{"add_user", long, "s3cret"},
		{"add_user", "a\x00b", "s3cret"},
		{"add_vhost", long},
		{"add_vhost", "a\x00b"},
		{"add_vhost", ""},
		{"set_policy", long, ".*", `{"max-length":1}`},
		{"set_global_parameter", long, "1"},
	} {
		if code := d.run(line...); code == exitOK || len(d.errs.String()) > 70<<10 {
			t.Errorf("%.20q: %d", line, code)
		}
	}
	for kind, extra := range map[string]string{"queues": "", "exchanges": `,"type":"topic"`} {
		for _, name := range []string{long, ""} {
			text, err := json.Marshal(name)
			if err != nil {
				t.Fatal(err)
			}
			d.stdin = fmt.Sprintf(`{"%s":[{"name":%s,"vhost":"/","durable":true%s}]}`, kind, text, extra)
			if code := d.run("import_definitions"); code == exitOK {
				t.Errorf("%s with a name of %d bytes are taken", kind, len(name))
			}
		}
	}
	d.stdin = fmt.Sprintf(`{"bindings":[{"source":"amq.topic","vhost":"/","destination":"amq.fanout","destination_type":"exchange","routing_key":%q,"arguments":{}}]}`, long)
	if code := d.run("import_definitions"); code == exitOK {
		t.Error("a routing key of 64 KiB is taken")
	}
}
