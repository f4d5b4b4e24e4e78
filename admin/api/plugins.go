package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func plugins(mux *http.ServeMux, o admin.Plugins) {
	mux.HandleFunc("GET /api/v1/plugins", list(o.Plugins))
}
