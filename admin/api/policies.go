package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func policies(mux *http.ServeMux, o admin.Policies) {
	mux.HandleFunc("GET /api/v1/policies", list(o.Policies))
	mux.HandleFunc("GET /api/v1/parameters", list(o.Parameters))
}
