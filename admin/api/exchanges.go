package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func exchanges(mux *http.ServeMux, o admin.Exchanges) {
	mux.HandleFunc("GET /api/v1/exchanges", list(o.Exchanges))
	mux.HandleFunc("GET /api/v1/bindings", list(o.Bindings))
}
