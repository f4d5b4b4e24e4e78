package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func process(mux *http.ServeMux, o admin.Processes) {
	mux.HandleFunc("GET /api/v1/overview", asks(o.Overview))
	mux.HandleFunc("GET /api/v1/settings", list(o.Settings))
	mux.HandleFunc("POST /api/v1/stop", act(o.Stop))
	mux.HandleFunc("POST /api/v1/memory/free", act(o.FreeMemory))
}
