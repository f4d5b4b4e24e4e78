package api

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/warrenmq/warren/admin"
)

func backups(mux *http.ServeMux, o admin.Backups) {
	mux.HandleFunc("GET /api/v1/backup", func(w http.ResponseWriter, r *http.Request) { backup(w, r, o) })
	mux.HandleFunc("POST /api/v1/restore/begin", slow(o.BeginRestore))
	mux.HandleFunc("POST /api/v1/restore/queue", func(w http.ResponseWriter, r *http.Request) { restoreQueue(w, r, o) })
	mux.HandleFunc("POST /api/v1/restore/end", act(o.EndRestore))
}

// A stream is a body that lasts as long as it moves: every read or write may
// take requestTime.
type stream struct {
	io.Reader
	io.Writer
	rc      *http.ResponseController
	written bool
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	_ = s.rc.SetReadDeadline(time.Now().Add(requestTime)) //nolint:forbidigo // a socket's deadline
	n, err := s.Reader.Read(p)
	if err != nil {
		patient(s.rc) // nothing more is read, and what was read has to be confirmed
	}
	return n, err //nolint:wrapcheck // an io.Reader
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.written = true
	_ = s.rc.SetWriteDeadline(time.Now().Add(requestTime)) //nolint:forbidigo // a socket's deadline
	return s.Writer.Write(p)                               //nolint:wrapcheck // an io.Writer
}

// patient lifts the deadline of the request: it would end the request, though
// nothing is to be read, for the server watches for the client to go away.
func patient(rc *http.ResponseController) { _ = rc.SetReadDeadline(time.Time{}) }

// backup answers with an archive. One that fails on the way says so in a
// trailer.
func backup(w http.ResponseWriter, r *http.Request, o admin.Backups) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", TrailError)
	s := &stream{Writer: w, rc: http.NewResponseController(w)}
	patient(s.rc)
	err := o.Backup(r.Context(), s)
	switch {
	case err != nil && !s.written:
		failure(w, err)
	case err != nil:
		text, _ := json.Marshal(asError(err)) // strings
		w.Header().Set(TrailError, string(text))
	}
}

// restoreQueue takes the messages of a queue as its body.
func restoreQueue(w http.ResponseWriter, r *http.Request, o admin.Backups) {
	var q admin.RestoreQueue
	if !query(w, r, &q) {
		return
	}
	done, err := o.RestoreQueue(r.Context(), q, &stream{Reader: r.Body, rc: http.NewResponseController(w)})
	if err != nil {
		failure(w, err)
		return
	}
	reply(w, http.StatusOK, done)
}
