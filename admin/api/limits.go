package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func limits(mux *http.ServeMux, o admin.Limits) {
	mux.HandleFunc("GET /api/v1/limits/vhosts", list(o.VHostLimits))
	mux.HandleFunc("POST /api/v1/limits/vhosts/set", act(o.SetVHostLimits))
	mux.HandleFunc("POST /api/v1/limits/vhosts/clear", act(o.ClearVHostLimits))
	mux.HandleFunc("GET /api/v1/limits/users", list(o.UserLimits))
	mux.HandleFunc("POST /api/v1/limits/users/set", act(o.SetUserLimits))
}
