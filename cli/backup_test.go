package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/node"
)

// realNode runs a node until the test ends, and returns its data directory.
func realNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	n, err := node.New(node.Options{
		Name: "rabbit@node-01", DataDir: dir, SegmentBytes: 1 << 20, Grace: 100 * time.Millisecond,
		Memory: node.Memory{Budget: 256 << 20, Entries: 64 << 20, Memtable: 16 << 20, Cache: 16 << 20},
		Listen: []node.Listen{{Protocol: "amqp", Addr: "127.0.0.1:0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended: %v", err)
		}
	})
	<-n.Ready()
	return dir
}

const oneQueue = `{"queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":{}}]}`

func TestBackupAndRestoreVerbs(t *testing.T) {
	from, to := realNode(t), realNode(t)
	w := newWorld(t)
	w.Stdin = strings.NewReader(oneQueue)
	w.wants(exitOK, w.run("ctl", "--data", from, "-q", "import_definitions"))
	file := filepath.Join(t.TempDir(), "node.backup")
	w.wants(exitOK, w.run("backup", file, "--data", from))
	w.printed(w.out.String(), "of node rabbit@node-01, taken ", "0 messages of 1 queues", "written to "+file)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	w.wants(exitUsage, w.run("backup", file, "--data", from))
	w.printed(w.errs.String(), "exists: remove it, or say --overwrite")
	w.wants(exitOK, w.run("backup", file, "--overwrite", "--data", from))
	w.wants(exitOK, w.run("restore", "--check", file))
	w.printed(w.out.String(), "every byte of it is as it was written")
	w.wants(exitOK, w.run("restore", file, "--data", to))
	w.printed(w.out.String(), "restored 0 messages of 0 queues")
	w.wants(exitFailed, w.run("restore", file, "--data", to))
	w.printed(w.errs.String(), "the node has 1 queues and 0 exchanges: an archive is restored into an empty node")

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	w.wants(exitIO, w.run("restore", "--check", file))
	w.printed(w.errs.String(), "the archive is damaged at byte ", "its checksum does not fit")
	w.wants(exitIO, w.run("restore", file, "--force", "--data", to))
	w.wants(exitUnavailable, w.run("backup", "-", "--data", t.TempDir()))
	w.wants(exitUsage, w.run("backup"))
}

// A backup that fails leaves no file.
func TestBackupThatFails(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	w.wants(exitUnavailable, w.run("backup", filepath.Join(dir, "x"), "--data", dir))
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
