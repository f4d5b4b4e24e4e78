package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func repairs(mux *http.ServeMux, o admin.Repairs) {
	mux.HandleFunc("GET /api/v1/repairs", ask(o.DamagedShards))
	mux.HandleFunc("POST /api/v1/repairs/give-up", act(o.GiveUpShards))
}
