// Package api serves admin.Operations over HTTP. So far that is one unix socket
// in the data directory: who may open the socket may ask everything, so the
// system's file permissions are its login.
//
// node runs Serve, which ends its goroutines before it returns. One resource is
// one file.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/warrenmq/warren/admin"
)

// Options of an API.
type Options struct {
	// Operations answers. It must be set.
	Operations admin.Operations
	// Logger takes the log lines. Default: none are written.
	Logger *slog.Logger
}

// Handler returns the resources.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/status", status(o.Operations))
	profiles(mux)
	return mux
}

// Bounds of a request and of a stop.
const (
	requestTime  = 30 * time.Second
	shutdownTime = 2 * time.Second
	headerBytes  = 16 << 10
)

// Serve answers on ln until ctx ends.
func Serve(ctx context.Context, ln net.Listener, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	srv := &http.Server{
		Handler:           http.TimeoutHandler(Handler(o), requestTime, `{"error":"the node took too long to answer"}`),
		ReadHeaderTimeout: requestTime, ReadTimeout: requestTime, IdleTimeout: requestTime,
		MaxHeaderBytes: headerBytes,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if srv.Shutdown(last) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(ln)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the operations: %w", err)
}

// reply writes an answer.
func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the peer that cannot read it is gone
}

// failure writes an error.
func failure(w http.ResponseWriter, err error) {
	reply(w, http.StatusInternalServerError, Failure{err.Error()})
}

// Failure is the body of every answer that is not 2xx.
type Failure struct {
	Error string `json:"error"`
}
