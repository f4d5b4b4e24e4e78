package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func vhostOrders(mux *http.ServeMux, o admin.VHostOrders) {
	mux.HandleFunc("POST /api/v1/vhosts/add", act(o.AddVHost))
	mux.HandleFunc("POST /api/v1/vhosts/tags", act(o.SetVHostTags))
	mux.HandleFunc("POST /api/v1/vhosts/delete", act(o.DeleteVHost))
}
