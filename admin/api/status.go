package api

import (
	"net/http"

	"github.com/warrenmq/warren/admin"
)

func status(ops admin.Operations) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, err := ops.Status(r.Context())
		if err != nil {
			failure(w, err)
			return
		}
		reply(w, http.StatusOK, s)
	}
}
