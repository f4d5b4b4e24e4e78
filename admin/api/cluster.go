package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func cluster(mux *http.ServeMux, o admin.Clusters) {
	mux.HandleFunc("GET /api/v1/cluster", ask(o.Cluster))
	mux.HandleFunc("POST /api/v1/cluster/forget", act(o.ForgetNode))
}
