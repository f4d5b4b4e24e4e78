package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin"
)

// Bounds of what is asked at the same time and of one request.
const (
	mostRequests = 32               // answered at the same time; others wait
	requestTime  = 30 * time.Second // for a question, and for a client that does not read on
	listTime     = 10 * time.Minute // for a whole list
	bodyBytes    = 64 << 20         // of an order: definitions are one
	rowsPerWrite = 256              // of a list, between two looks at the clock
)

// TrailError is the trailer in which a list says that it did not end well.
const TrailError = "Warren-Error"

// list answers with one JSON value a line. A list that fails on the way says so
// in a trailer.
func list[Q, T any](f func(context.Context, Q) iter.Seq2[T, error]) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if !query(w, r, &q) {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), listTime)
		defer cancel()
		rc, out := http.NewResponseController(w), json.NewEncoder(w)
		patient(rc)
		rows := 0
		for item, err := range f(ctx, q) {
			if err != nil && rows == 0 {
				failure(w, err)
				return
			} else if err != nil {
				text, _ := json.Marshal(asError(err)) // strings
				w.Header().Set(TrailError, string(text))
				return
			}
			if rows == 0 {
				begin(w)
			}
			if rows%rowsPerWrite == 0 {
				_ = rc.SetWriteDeadline(time.Now().Add(requestTime)) //nolint:forbidigo // a socket's deadline
			}
			if rows++; out.Encode(item) != nil {
				return // nobody reads on
			}
		}
		if rows == 0 {
			begin(w)
		}
	}
}

func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", TrailError)
	w.WriteHeader(http.StatusOK)
}

// ask answers a question with one JSON value.
func ask[Q, A any](f func(context.Context, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if query(w, r, &q) {
			answer(w, r, f, q)
		}
	}
}

// asks is ask for a question without a request.
func asks[A any](f func(context.Context) (A, error)) http.HandlerFunc {
	return ask(func(ctx context.Context, _ struct{}) (A, error) { return f(ctx) })
}

// act carries out an order.
func act[Q, A any](f func(context.Context, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if err := strict(http.MaxBytesReader(w, r.Body, bodyBytes), &q); err != nil {
			failure(w, admin.Invalidf("the order can not be read: %v", err))
			return
		}
		answer(w, r, f, q)
	}
}

func answer[Q, A any](w http.ResponseWriter, r *http.Request, f func(context.Context, Q) (A, error), q Q) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	a, err := f(ctx, q)
	if err != nil {
		failure(w, err)
		return
	}
	reply(w, http.StatusOK, a)
}

// query reads the request of a list or question.
func query(w http.ResponseWriter, r *http.Request, into any) bool {
	text := r.FormValue("q")
	if text == "" {
		return true
	}
	if err := strict(strings.NewReader(text), into); err != nil {
		failure(w, admin.Invalidf("the parameter q can not be read: %v", err))
		return false
	}
	return true
}

// strict reads one JSON value with nothing in it that is not known: an option
// that is not understood must not be taken for done.
func strict(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err //nolint:wrapcheck // the caller says what was read
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one value")
	}
	return nil
}

// reply writes an answer.
func reply(w http.ResponseWriter, code int, v any) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(requestTime)) //nolint:forbidigo // a socket's deadline
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the peer that cannot read it is gone
}

// failure writes an error.
func failure(w http.ResponseWriter, err error) {
	e := asError(err)
	reply(w, statuses()[e.Kind], e)
}

// asError makes an error one that can be told.
func asError(err error) *admin.Error {
	var e *admin.Error
	switch {
	case errors.As(err, &e):
		if statuses()[e.Kind] != 0 {
			return e
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &admin.Error{Kind: admin.Timeout, Text: "the node took too long to answer"}
	}
	return &admin.Error{Kind: admin.Internal, Text: err.Error()}
}

// statuses are the HTTP codes of all kinds.
func statuses() map[admin.Kind]int {
	return map[admin.Kind]int{
		admin.Internal: http.StatusInternalServerError, admin.Invalid: http.StatusBadRequest,
		admin.NotFound: http.StatusNotFound, admin.Exists: http.StatusConflict, admin.InUse: http.StatusConflict,
		admin.NotEmpty: http.StatusConflict, admin.Denied: http.StatusForbidden,
		admin.Unavailable: http.StatusServiceUnavailable, admin.Timeout: http.StatusGatewayTimeout,
		admin.Unsupported: http.StatusNotImplemented, admin.AppStopped: http.StatusServiceUnavailable,
		admin.AppRunning: http.StatusConflict,
	}
}

// few lets so many requests in at a time; the others wait until theirs ends.
func few(h http.Handler, n int) http.Handler {
	slots := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
