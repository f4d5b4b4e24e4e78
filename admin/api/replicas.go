package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func replicas(mux *http.ServeMux, o admin.Replicas) {
	mux.HandleFunc("GET /api/v1/replicas", ask(o.QueueReplicas))
	mux.HandleFunc("POST /api/v1/replicas/add", act(o.AddReplica))
	mux.HandleFunc("POST /api/v1/replicas/delete", act(o.DeleteReplica))
	mux.HandleFunc("POST /api/v1/replicas/grow", act(o.GrowQueues))
	mux.HandleFunc("POST /api/v1/replicas/shrink", act(o.ShrinkQueues))
	mux.HandleFunc("POST /api/v1/replicas/rebalance", act(o.Rebalance))
	mux.HandleFunc("POST /api/v1/maintenance/drain", act(o.Drain))
	mux.HandleFunc("POST /api/v1/maintenance/revive", act(o.Revive))
}
