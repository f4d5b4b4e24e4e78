package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func vhosts(mux *http.ServeMux, o admin.VHosts) {
	mux.HandleFunc("GET /api/v1/vhosts", list(o.VHosts))
	mux.HandleFunc("POST /api/v1/vhosts/trace", act(o.SetTracing))
}
