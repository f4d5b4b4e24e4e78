// Package health answers load balancers and orchestrators over HTTP: whether the
// process lives, whether it serves clients and if not why not, and which alarms
// are up. It asks for no password and tells nothing else; there is no way to
// change anything through it.
//
// node hands it the answers as functions and its Frontend to a listener, which
// keeps every connection to the budget that peers have before login: here nobody
// ever logs in. A connection carries one request, answered by one goroutine that
// has ended when Serve returns.
package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// A State is what a node is for its clients.
type State string

// The states. Only a node that serves is ready.
const (
	Booting  State = "booting"  // not yet
	Serving  State = "serving"  // yes
	Draining State = "draining" // not any more, by order
	Minority State = "minority" // not while it can not reach a majority of its cluster
	Stopping State = "stopping" // not any more
	Stopped  State = "stopped"  // the process lives, the broker in it does not
)

// A Status says what a node is.
type Status struct {
	Node  string `json:"node"`
	State State  `json:"state"`
	// Text says how many nodes of the cluster answer, as "2 of 3, without rabbit@c".
	// It is empty for a node that is alone.
	Text string `json:"text,omitempty"`
	// Why says what a node that is not ready waits for.
	Why string `json:"why,omitempty"`
	// Do says what somebody is to do about it, if it is not to wait.
	Do string `json:"do,omitempty"`
}

// Ready tells whether clients are served.
func (s Status) Ready() bool { return s.State == Serving }

// Line is the status in a line, and in a second what is to be done about it.
func (s Status) Line() string {
	t := string(s.State)
	if s.Text != "" {
		t += ": " + s.Text
	}
	if s.Why != "" {
		t += ": " + s.Why
	}
	if s.Do != "" {
		t += "\nto do: " + s.Do
	}
	return t
}

// Options say where the answers come from. All are required, and called from any
// goroutine at any time.
type Options struct {
	Status func() Status
	// Alarms are those that hold publishers back, each in a line.
	Alarms func() []string
}

// The paths.
const (
	pathAll    = "/health"
	pathLive   = "/health/live"
	pathReady  = "/health/ready"
	pathAlarms = "/health/alarms"
)

// Handler answers the paths below /health.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathAll+"/{$}", func(w http.ResponseWriter, _ *http.Request) { writeAll(w, o) })
	mux.HandleFunc("GET "+pathAll, func(w http.ResponseWriter, _ *http.Request) { writeAll(w, o) })
	mux.HandleFunc("GET "+pathLive, func(w http.ResponseWriter, _ *http.Request) {
		say(w, true, "live")
	})
	mux.HandleFunc("GET "+pathReady, func(w http.ResponseWriter, _ *http.Request) {
		s := o.Status()
		say(w, s.Ready(), s.Line())
	})
	mux.HandleFunc("GET "+pathAlarms, func(w http.ResponseWriter, _ *http.Request) {
		up := o.Alarms()
		if len(up) == 0 {
			say(w, true, "no alarms")
			return
		}
		say(w, false, strings.Join(up, "\n"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Connection", "close")
		if h, pattern := mux.Handler(r); pattern != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		http.Error(w, "not found; there are "+strings.Join([]string{pathLive, pathReady, pathAlarms, pathAll}, ", "), http.StatusNotFound)
	})
}

// say writes a plain answer.
func say(w http.ResponseWriter, ok bool, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code(ok))
	fmt.Fprintln(w, text) // who does not read it is gone
}

// writeAll says everything at once, for people and scripts; its status is that of
// readiness.
func writeAll(w http.ResponseWriter, o Options) {
	all := struct {
		Status
		Ready  bool     `json:"ready"`
		Alarms []string `json:"alarms"`
	}{Status: o.Status(), Alarms: o.Alarms()}
	all.Ready = all.Status.Ready()
	if all.Alarms == nil {
		all.Alarms = []string{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code(all.Ready))
	_ = json.NewEncoder(w).Encode(all) // who does not read it is gone
}

func code(ok bool) int {
	if ok {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}
