package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// ClientAuth says whether a TLS listener wants the client's certificate.
type ClientAuth string

// The values of ClientAuth.
const (
	ClientAuthNone    ClientAuth = "none"    // not asked for
	ClientAuthOffer   ClientAuth = "offer"   // checked if there is one
	ClientAuthRequire ClientAuth = "require" // refused without a good one
)

// TLS describes the certificate of a listener by its files.
type TLS struct {
	// Cert and Key are PEM files: the chain, and its private key.
	Cert, Key string
	// CA is a PEM file of the authorities whose client certificates count.
	CA string
	// ClientAuth is none unless set.
	ClientAuth ClientAuth
}

// recheck is how long what was read from the files is taken as fresh.
const recheck = 10 * time.Second

// tlsError is why a handshake failed.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// Config reads the files and returns what Options.TLS wants: at least TLS 1.2,
// Go's choice of suites, no renegotiation. Files that change on disk, the
// authorities too, are taken up within seconds, without a restart; broken ones
// are logged and the old ones kept. Who is connected stays connected.
func (t TLS) Config(clock Clock, log *slog.Logger) (*tls.Config, error) {
	switch t.ClientAuth {
	case ClientAuthNone, "", ClientAuthOffer, ClientAuthRequire:
	default:
		return nil, fmt.Errorf("client auth is %q, must be none, offer or require", t.ClientAuth)
	}
	if t.asks() && t.CA == "" {
		return nil, fmt.Errorf("client auth is %q, which needs a CA file", t.ClientAuth)
	}
	if clock == nil {
		clock = machineClock{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &keeper{files: t, clock: clock, log: log}
	first, err := k.load()
	if err != nil {
		return nil, err
	}
	outer := first.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current(), nil }
	return outer, nil
}

// asks tells whether clients are asked for a certificate.
func (t TLS) asks() bool { return t.ClientAuth == ClientAuthOffer || t.ClientAuth == ClientAuthRequire }

// paths are the files that matter.
func (t TLS) paths() []string {
	if t.asks() {
		return []string{t.Cert, t.Key, t.CA}
	}
	return []string{t.Cert, t.Key}
}

// read makes a configuration of what the files hold now.
func (t TLS) read() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if !t.asks() {
		return c, nil
	}
	// A session resumed later would skip the look at the client's certificate,
	// also when its authority has gone.
	c.SessionTicketsDisabled = true
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if t.ClientAuth == ClientAuthRequire {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no certificate", t.CA)
	}
	return c, nil
}

// A keeper holds what was read from the files and follows them.
type keeper struct {
	files TLS
	clock Clock
	log   *slog.Logger

	mu struct {
		sync.Mutex
		config  *tls.Config
		written []time.Time // of the files, when they were read
		checked time.Time
	}
}

// current returns the configuration, read anew if its files changed.
func (k *keeper) current() *tls.Config {
	now := k.clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.mu.checked) < recheck {
		return k.mu.config
	}
	k.mu.checked = now
	written, err := k.written()
	if err == nil && slices.Equal(written, k.mu.written) {
		return k.mu.config
	}
	if err == nil {
		err = k.loadLocked(written)
	}
	if err != nil {
		k.log.Warn("the changed certificate is not usable, the old one is kept", "err", err)
	} else {
		k.log.Info("certificate read anew", "path", k.files.Cert)
	}
	return k.mu.config
}

func (k *keeper) load() (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	written, err := k.written()
	if err != nil {
		return nil, err
	}
	k.mu.checked = k.clock.Now()
	err = k.loadLocked(written)
	return k.mu.config, err
}

func (k *keeper) loadLocked(written []time.Time) error {
	config, err := k.files.read()
	if err != nil {
		return err
	}
	k.mu.config, k.mu.written = config, written
	return nil
}

func (k *keeper) written() (w []time.Time, err error) {
	for _, name := range k.files.paths() {
		st, serr := os.Stat(name)
		if serr != nil {
			err = errors.Join(err, fmt.Errorf("certificate file: %w", serr))
			continue
		}
		w = append(w, st.ModTime())
	}
	return w, err
}
