package cli

import (
	"testing"

	"github.com/warrenmq/warren/cli/ctl"
)

// One verb tree under all its names. (estate R9).
func TestCtlNames(t *testing.T) {
	for _, line := range [][]string{
		{"warren", "ctl", "version"},
		{"warren", "rabbitmqctl", "version"},
		{"warren", "rabbitmq-diagnostics", "-q", "version"},
		{"/usr/sbin/rabbitmqctl", "version"},
		{"rabbitmqctl.exe", "-n", "ctl", "version"},
		{"rabbitmq-queues", "version"},
	} {
		w := newWorld(t)
		if code := w.Main(line); code != exitOK || w.out.String() != "test\n" {
			t.Errorf("%q: %d %s%s", line, code, w.out, w.errs)
		}
	}
	w := newWorld(t)
	if code := w.Main([]string{"warren", "ctl", "ping", "--data", t.TempDir(), "-p", "ctl"}); code != exitUnavailable {
		t.Errorf("code %d\n%s", code, w.errs)
	}
	w.printed(w.errs.String(), "Target node is not running")
	for _, tool := range ctl.Tools() {
		if code := newWorld(t).Main([]string{tool, "nothing_like_it"}); code != 64 {
			t.Errorf("%s: code %d", tool, code)
		}
	}
}
