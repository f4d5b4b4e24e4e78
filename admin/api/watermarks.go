package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func watermarks(mux *http.ServeMux, o admin.Watermarks) {
	mux.HandleFunc("POST /api/v1/watermarks/memory", act(o.SetMemoryHighWatermark))
	mux.HandleFunc("POST /api/v1/watermarks/disk", act(o.SetDiskFreeLimit))
}
