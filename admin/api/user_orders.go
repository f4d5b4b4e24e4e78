package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func userOrders(mux *http.ServeMux, o admin.UserOrders) {
	mux.HandleFunc("POST /api/v1/users/add", act(o.AddUser))
	mux.HandleFunc("POST /api/v1/users/password", act(o.ChangePassword))
	mux.HandleFunc("POST /api/v1/users/authenticate", act(o.Authenticate))
	mux.HandleFunc("POST /api/v1/users/tags", act(o.SetUserTags))
	mux.HandleFunc("POST /api/v1/users/delete", act(o.DeleteUser))
}
