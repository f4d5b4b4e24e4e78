// Package api serves admin.Operations over HTTP. So far that is one unix socket
// in the data directory: who may open the socket may ask everything, so the
// system's file permissions are its login.
//
// node runs Serve, which ends its goroutines before it returns. One resource is
// one file; package admin says how it looks.
package api

import (
	"context"
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
	// Operations answers. It must be set, unless Handler is.
	Operations admin.Operations
	// Handler answers instead, a Front.
	Handler http.Handler
	// Logger takes the log lines. Default: none are written.
	Logger *slog.Logger
}

// Handler returns the resources.
func Handler(o Options) http.Handler {
	mux, ops := http.NewServeMux(), o.Operations
	status(mux, ops)
	process(mux, ops)
	queues(mux, ops)
	exchanges(mux, ops)
	connections(mux, ops)
	users(mux, ops)
	vhosts(mux, ops)
	policies(mux, ops)
	policyOrders(mux, ops)
	limits(mux, ops)
	plugins(mux, ops)
	userOrders(mux, ops)
	watermarks(mux, ops)
	permissionOrders(mux, ops)
	vhostOrders(mux, ops)
	definitions(mux, ops)
	backups(mux, ops)
	cluster(mux, ops)
	replicas(mux, ops)
	repairs(mux, ops)
	profiles(mux)
	return few(mux, mostRequests)
}

// Bounds of a connection and of a stop.
const (
	idleTime     = 30 * time.Second
	shutdownTime = 2 * time.Second
	headerBytes  = 1 << 20 // a request of a list stands in its address
)

// Serve answers on ln until ctx ends.
func Serve(ctx context.Context, ln net.Listener, o Options) error {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Handler == nil {
		o.Handler = Handler(o)
	}
	srv := &http.Server{
		Handler:           o.Handler,
		ReadHeaderTimeout: idleTime, ReadTimeout: idleTime, IdleTimeout: idleTime,
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
