package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
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

// recheck is how long a certificate read from its files is taken as fresh.
const recheck = 10 * time.Second

// Config reads the files and returns what Options.TLS wants: at least TLS 1.2,
// Go's choice of suites, no renegotiation. A certificate that changes on disk is
// taken up within seconds, without a restart; a broken one is logged and the old
// one kept.
func (t TLS) Config(clock Clock, log *slog.Logger) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch t.ClientAuth {
	case ClientAuthNone, "":
	case ClientAuthOffer:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientAuthRequire:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("client auth is %q, must be none, offer or require", t.ClientAuth)
	}
	if c.ClientAuth != tls.NoClientCert {
		if t.CA == "" {
			return nil, fmt.Errorf("client auth is %q, which needs a CA file", t.ClientAuth)
		}
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no certificate", t.CA)
		}
	}
	if clock == nil {
		clock = machineClock{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &keeper{files: t, clock: clock, log: log}
	if err := k.load(); err != nil {
		return nil, err
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current(), nil }
	return c, nil
}

// A keeper holds a certificate and follows its files.
type keeper struct {
	files TLS
	clock Clock
	log   *slog.Logger

	mu struct {
		sync.Mutex
		cert    *tls.Certificate
		written [2]time.Time // of the files, when they were read
		checked time.Time
	}
}

// current returns the certificate, read anew if its files changed.
func (k *keeper) current() *tls.Certificate {
	now := k.clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.mu.checked) >= recheck {
		k.mu.checked = now
		if written, err := k.written(); err != nil || written != k.mu.written {
			if err == nil {
				err = k.loadLocked(written)
			}
			if err != nil {
				k.log.Warn("the changed certificate is not usable, the old one is kept", "err", err)
			} else {
				k.log.Info("certificate read anew", "path", k.files.Cert)
			}
		}
	}
	return k.mu.cert
}

func (k *keeper) load() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	written, err := k.written()
	if err != nil {
		return err
	}
	k.mu.checked = k.clock.Now()
	return k.loadLocked(written)
}

func (k *keeper) loadLocked(written [2]time.Time) error {
	cert, err := tls.LoadX509KeyPair(k.files.Cert, k.files.Key)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	k.mu.cert, k.mu.written = &cert, written
	return nil
}

func (k *keeper) written() (w [2]time.Time, err error) {
	for i, name := range []string{k.files.Cert, k.files.Key} {
		st, serr := os.Stat(name)
		if serr != nil {
			err = errors.Join(err, fmt.Errorf("certificate file: %w", serr))
			continue
		}
		w[i] = st.ModTime()
	}
	return w, err
}
