package health

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, o Options, method, path string) (code int, body string, h http.Header) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code, w.Body.String(), w.Header()
}

func fixed(s Status, alarms ...string) Options {
	return Options{Status: func() Status { return s }, Alarms: func() []string { return alarms }}
}

// Only a node that serves is ready, and one that is not says why (estate A19,
// R19).
func TestReady(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Status
		code int
		body string
	}{
		{"alone", Status{State: Serving}, 200, "serving\n"},
		{"of three", Status{State: Serving, Text: "2 of 3, without rabbit@c"}, 200, "serving: 2 of 3, without rabbit@c\n"},
		{"minority", Status{State: Minority, Text: "1 of 3, needs 2, waiting for rabbit@b, rabbit@c"}, 503, "minority: 1 of 3, needs 2, waiting for rabbit@b, rabbit@c\n"},
		{"booting", Status{State: Booting, Why: "waiting to be let into a cluster"}, 503, "booting: waiting to be let into a cluster\n"},
		{"minority", Status{State: Minority, Text: "1 of 2, needs 2, waiting for b", Do: "start it"}, 503, "minority: 1 of 2, needs 2, waiting for b\nto do: start it\n"},
		{"draining", Status{State: Draining, Text: "3 of 3", Why: "by order of an operator"}, 503, "draining: 3 of 3: by order of an operator\n"},
		{"stopping", Status{State: Stopping}, 503, "stopping\n"},
		{"stopped", Status{State: Stopped}, 503, "stopped\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body, h := get(t, fixed(c.s), http.MethodGet, pathReady)
			if code != c.code || body != c.body || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%d %q %v, want %d %q", code, body, h, c.code, c.body)
			}
			if code, _, _ := get(t, fixed(c.s), http.MethodGet, pathLive); code != 200 {
				t.Errorf("live: %d: a node that does not serve is not to be killed for it", code)
			}
		})
	}
}

func TestAlarms(t *testing.T) {
	if code, body, _ := get(t, fixed(Status{State: Serving}), http.MethodGet, pathAlarms); code != 200 || body != "no alarms\n" {
		t.Errorf("%d %q", code, body)
	}
	up := fixed(Status{State: Serving}, "memory: 2 of 1 bytes", "disk: 0 of 1 bytes")
	if code, body, _ := get(t, up, http.MethodGet, pathAlarms); code != 503 || body != "memory: 2 of 1 bytes\ndisk: 0 of 1 bytes\n" {
		t.Errorf("%d %q", code, body)
	}
	if code, _, _ := get(t, up, http.MethodGet, pathReady); code != 200 {
		t.Errorf("%d: consumers are served while publishers wait", code)
	}
}

func TestAll(t *testing.T) {
	for _, path := range []string{"/health", "/health/"} {
		code, body, h := get(t, fixed(Status{Node: "rabbit@a", State: Minority, Text: "1 of 3"}), http.MethodGet, path)
		var got struct {
			Node, State, Text string
			Ready             *bool
			Alarms            []string
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if code != 503 || h.Get("Content-Type") != "application/json" || got.Node != "rabbit@a" || got.State != "minority" ||
			got.Text != "1 of 3" || got.Ready == nil || *got.Ready || got.Alarms == nil {
			t.Errorf("%d %v %s", code, h, body)
		}
	}
}

func TestElsewhere(t *testing.T) {
	o := fixed(Status{State: Serving})
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/", 404, pathReady},
		{"GET", "/health/nothing", 404, pathReady},
		{"GET", "/api/overview", 404, pathReady},
		{"POST", pathReady, 405, ""},
		{"DELETE", "/health", 405, ""},
		{"HEAD", pathReady, 200, ""},
		{"PUT", "/x", 404, ""},
	} {
		code, body, _ := get(t, o, c.method, c.path)
		if code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %q, want %d", c.method, c.path, code, body, c.code)
		}
	}
}
