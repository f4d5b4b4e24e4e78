package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func permissionOrders(mux *http.ServeMux, o admin.PermissionOrders) {
	mux.HandleFunc("POST /api/v1/permissions/set", act(o.SetPermission))
	mux.HandleFunc("POST /api/v1/permissions/clear", act(o.ClearPermission))
	mux.HandleFunc("POST /api/v1/topic-permissions/set", act(o.SetTopicPermission))
	mux.HandleFunc("POST /api/v1/topic-permissions/clear", act(o.ClearTopicPermission))
}
