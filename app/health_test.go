package app

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/node"
)

// A process whose node is stopped is asked for its health: it lives, and is not
// ready (estate R19).
func TestHealthWhileStopped(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	w := newWorld(t)
	w.o.Stopped = true
	w.o.Node.Listen = append(w.o.Node.Listen, node.Listen{Protocol: "http", Addr: addr})
	w.begun = func(f *fake) { f.waits = true }
	w.start()
	w.settled(admin.AppIsStopped)
	says := func(path string, code int, text string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			c, s := http.StatusText(0), ""
			resp, err := http.Get("http://" + addr + path) //nolint:noctx // bounded by the listener
			if err == nil {
				body, _ := io.ReadAll(resp.Body) // what is missing is seen
				resp.Body.Close()
				if c, s = resp.Status, string(body); resp.StatusCode == code && strings.HasPrefix(s, text) {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s %q (%v), want %d %q", path, c, s, err, code, text)
			}
			<-time.After(time.Millisecond)
		}
	}
	says("/health/live", 200, "live")
	says("/health/ready", 503, "stopped: the app is stopped; 'rabbitmqctl start_app' starts it\n")
	says("/health", 503, `{"node":"rabbit@node-02","state":"stopped"`)
	says("/health/alarms", 200, "no alarms")
	if _, err := w.ask.StartApp(t.Context(), struct{}{}); err != nil {
		t.Fatal(err)
	}
	says("/health/ready", 503, "booting")
	if _, err := w.ask.StopApp(t.Context(), struct{}{}); err != nil {
		t.Fatal(err)
	}
	says("/health/ready", 503, "stopped: the app is stopped;")
}
