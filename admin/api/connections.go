package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func connections(mux *http.ServeMux, o admin.Connections) {
	mux.HandleFunc("GET /api/v1/connections", list(o.Connections))
	mux.HandleFunc("GET /api/v1/channels", list(o.Channels))
	mux.HandleFunc("GET /api/v1/consumers", list(o.Consumers))
	mux.HandleFunc("POST /api/v1/connections/close", act(o.CloseConnections))
}
