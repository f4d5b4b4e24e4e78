package api

import (
	"net/http"
	"net/http/pprof"
)

// profiles serves Go's own profiles: what the node spends its processor and
// memory on, for `go tool pprof`. The socket's permissions guard them as they
// guard the rest.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
}
