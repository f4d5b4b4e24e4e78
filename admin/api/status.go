package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func status(mux *http.ServeMux, o admin.Statuses) {
	mux.HandleFunc("GET /api/v1/status", asks(o.Status))
	mux.HandleFunc("GET /api/v1/identity", asks(o.Identity))
}
