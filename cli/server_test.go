package cli

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// rabbitmq-server takes what a node is from the environment that RabbitMQ's users
// set, and is open to other machines and nodes as theirs is (estate R8, R15, R23).
func TestServerEnvironment(t *testing.T) {
	w, base := newWorld(t), t.TempDir()
	w.env["RABBITMQ_NODENAME"] = "hare"
	w.env["RABBITMQ_NODE_PORT"] = "5673"
	w.env["RABBITMQ_MNESIA_BASE"] = base
	done := make(chan int)
	go func() { done <- w.Main([]string{"/usr/sbin/rabbitmq-server"}) }()
	eventually(t, "ready line", func() bool { return strings.Contains(w.out.String(), "\n") })
	o := w.nodeOptions
	if o.Name != "hare@node-01" || o.DataDir != filepath.Join(base, "hare@node-01") || o.Listen[0].Addr != ":5673" || o.Cluster.Addr != ":25673" {
		t.Errorf("name %s, data %s, %+v, cluster %s", o.Name, o.DataDir, o.Listen, o.Cluster.Addr)
	}
	pid := o.DataDir + ".pid"
	if text, err := os.ReadFile(pid); err != nil || strings.TrimSpace(string(text)) == "" {
		t.Errorf("PID file %q, %v", text, err)
	}
	w.interrupted <- syscall.SIGTERM
	w.wants(exitOK, <-done)
	if _, err := os.Stat(pid); err == nil {
		t.Error("the PID file is left")
	}
}

func TestServerConfigFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"rabbitmq.config", "own.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("bind: 127.0.0.1\nlisten:\n  cluster: off\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ file, want string }{
		{"rabbitmq", "rabbitmq.config: this version does not read RabbitMQ's configuration"},
		{"rabbitmq.config", "this version does not read RabbitMQ's configuration"},
		{"none", "file does not exist"},
	} {
		w := newWorld(t)
		w.env["RABBITMQ_CONFIG_FILE"] = filepath.Join(dir, tc.file)
		w.wants(exitConfig, w.run("rabbitmq-server", "--data", t.TempDir()))
		w.printed(w.errs.String(), tc.want)
	}
	// What the file says wins over what the program begins with.
	w := newWorld(t)
	w.env["RABBITMQ_CONFIG_FILE"] = filepath.Join(dir, "own")
	done := make(chan int)
	go func() { done <- w.run("rabbitmq-server", "--data", t.TempDir(), "--node-only") }()
	eventually(t, "ready line", func() bool { return strings.Contains(w.out.String(), "is stopped in its process") })
	w.interrupted <- syscall.SIGTERM
	w.wants(exitOK, <-done)

	w = newWorld(t)
	w.wants(exitUsage, w.run("rabbitmq-server", "--data", t.TempDir(), "start"))
}

// In the background the node outlives the command, which says where its log is;
// one that can not start says why (estate R12).
func TestServerDetached(t *testing.T) {
	for _, flag := range []string{"-detached", "--detached"} {
		w, dir := newWorld(t), t.TempDir()
		data := filepath.Join(dir, "node")
		env := map[string]string{
			"RABBITMQ_NODENAME": "rabbit@node-01", "RABBITMQ_MNESIA_DIR": data, "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
			"RABBITMQ_LOG_BASE": filepath.Join(dir, "log"), "RABBITMQ_PID_FILE": filepath.Join(dir, "run", "pid"), "RABBITMQ_NODE_PORT": "0",
			"WARREN_NODES": filepath.Join(dir, "names"),
		}
		for name, value := range env {
			w.env[name] = value
			t.Setenv(name, value)
		}
		w.wants(exitOK, w.run("rabbitmq-server", flag))
		log := filepath.Join(dir, "log", "rabbit@node-01.log")
		w.printed(w.out.String(), "rabbitmq-server: rabbit@node-01 is ready, process ", "the log is "+log)
		pid, err := os.ReadFile(env["RABBITMQ_PID_FILE"])
		if err != nil || !strings.Contains(w.out.String(), "process "+strings.TrimSpace(string(pid))+",") {
			t.Errorf("PID file %q, %v", pid, err)
		}
		if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "is ready") {
			t.Errorf("log %q, %v", text, err)
		}
		again := newWorld(t)
		again.env = w.env
		again.wants(exitDataDir, again.run("rabbitmq-server", flag))
		again.printed(again.errs.String(), "rabbit@node-01 did not start", "is in use")
		w.wants(exitOK, w.run("ctl", "-n", "rabbit", "stop"))
		eventually(t, "the PID file is gone", func() bool { _, err := os.Stat(env["RABBITMQ_PID_FILE"]); return os.IsNotExist(err) })
	}
}
