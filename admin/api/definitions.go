package api

import (
	"context"
	"net/http"
	"time"

	"github.com/warrenmq/warren/admin"
)

// importTime bounds an import: 100,000 queues are declared in it.
const importTime = 10 * time.Minute

// mostDocument bounds the definitions of an order.
const mostDocument = 1 << 30

func definitions(mux *http.ServeMux, o admin.Definitions) {
	mux.HandleFunc("GET /api/v1/definitions", func(w http.ResponseWriter, r *http.Request) {
		text, err := o.ExportDefinitions(r.Context())
		if err != nil {
			failure(w, err)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(importTime)) //nolint:forbidigo // a socket's deadline
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // the peer that cannot read it is gone
	})
	mux.HandleFunc("POST /api/v1/definitions", slow(o.ImportDefinitions))
}

// slow is act for an order that is large and takes long.
func slow[Q, A any](f func(context.Context, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		until := time.Now().Add(importTime) //nolint:forbidigo // a socket's deadline
		_ = http.NewResponseController(w).SetReadDeadline(until)
		var q Q
		if err := strict(http.MaxBytesReader(w, r.Body, mostDocument), &q); err != nil {
			failure(w, admin.Invalidf("the order can not be read: %v", err))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), importTime)
		defer cancel()
		a, err := f(ctx, q)
		if err != nil {
			failure(w, err)
			return
		}
		reply(w, http.StatusOK, a)
	}
}
