package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func users(mux *http.ServeMux, o admin.Users) {
	mux.HandleFunc("GET /api/v1/users", list(o.Users))
	mux.HandleFunc("GET /api/v1/permissions", list(o.Permissions))
	mux.HandleFunc("GET /api/v1/topic-permissions", list(o.TopicPermissions))
}
