package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func queues(mux *http.ServeMux, o admin.Queues) {
	mux.HandleFunc("GET /api/v1/queues", list(o.Queues))
	mux.HandleFunc("POST /api/v1/queues/purge", act(o.PurgeQueue))
	mux.HandleFunc("POST /api/v1/queues/delete", act(o.DeleteQueue))
}
