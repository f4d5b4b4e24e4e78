package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func policyOrders(mux *http.ServeMux, o admin.PolicyOrders) {
	mux.HandleFunc("POST /api/v1/policies/set", act(o.SetPolicy))
	mux.HandleFunc("POST /api/v1/policies/clear", act(o.ClearPolicy))
	mux.HandleFunc("POST /api/v1/parameters/set", act(o.SetParameter))
	mux.HandleFunc("POST /api/v1/parameters/clear", act(o.ClearParameter))
}
