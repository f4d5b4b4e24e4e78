package listener

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// writeCert makes a certificate for 127.0.0.1 that is its own authority.
func writeCert(t *testing.T, dir, name string) TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: der},
		files.Key:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func serverTLS(t *testing.T) (*tls.Config, TLS) {
	t.Helper()
	files := writeCert(t, t.TempDir(), "server")
	c, err := files.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, files
}

func (r *running) dialTLS(c *tls.Config) *client {
	r.t.Helper()
	t, err := tls.Dial("tcp", r.Addr().String(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return newClient(r.t, t)
}

func TestTLS(t *testing.T) {
	config, _ := serverTLS(t)
	infos := make(chan protocol.Info, 1)
	r := start(t, Options{Name: "amqps", TLS: config, Frontends: []protocol.Frontend{&echo{magic: "ECHO", infos: infos}}})
	c := r.dialTLS(&tls.Config{InsecureSkipVerify: true})
	c.say("ECHO")
	if in := <-infos; in.TLS == nil || !in.TLS.HandshakeComplete || in.TLS.Version != tls.VersionTLS13 {
		t.Errorf("info %+v", in.TLS)
	}
	if _, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// A listener that takes both tells them apart, with a single protocol, too.
func TestTLSAndPlain(t *testing.T) {
	config, _ := serverTLS(t)
	infos := make(chan protocol.Info, 2)
	r := start(t, Options{Name: "auto", TLS: config, PlainToo: true, Frontends: []protocol.Frontend{&echo{magic: "ECHO", infos: infos}}})
	plain := r.dial()
	plain.say("ECHO")
	if in := <-infos; in.TLS != nil {
		t.Errorf("info %+v of a plain connection", in.TLS)
	}
	secured := r.dialTLS(&tls.Config{InsecureSkipVerify: true})
	secured.say("ECHO")
	if in := <-infos; in.TLS == nil {
		t.Error("no TLS")
	}
}

// What a peer spends on the handshake counts, and a handshake never finished
// ends with the time before login (X8).
func TestTLSWithinBudget(t *testing.T) {
	config, _ := serverTLS(t)
	t.Run("bytes", func(t *testing.T) {
		r := start(t, Options{TLS: config, LoginBytes: 200})
		if _, err := tls.Dial("tcp", r.Addr().String(), &tls.Config{InsecureSkipVerify: true}); err == nil {
			t.Error("a handshake of more than 200 bytes got through")
		}
		eventually(t, "counted", func() bool { return r.Stats().Overspent == 1 })
	})
	t.Run("time", func(t *testing.T) {
		r := start(t, Options{TLS: config, LoginTime: 50 * time.Millisecond})
		c := r.dial()
		if _, err := c.Write([]byte("\x16\x03\x01\x02\x00\x01")); err != nil {
			t.Fatal(err)
		}
		c.closed()
	})
}

func TestTLSBareConnectIsDebug(t *testing.T) {
	config, _ := serverTLS(t)
	r := start(t, Options{TLS: config})
	_ = r.dial().Close()
	eventually(t, "seen", func() bool { return r.Stats().Accepted == 1 && r.Stats().Active == 0 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if book := r.book.String(); strings.Contains(book, "level=INFO") || strings.Contains(book, "level=WARN") {
		t.Error(book)
	}
}

// X24: a client's certificate counts by the key that signed it. One that has the
// issuer, the subject and the number of one that is trusted, and a key of its own, is
// turned away like none.
func TestTLSClientAuth(t *testing.T) {
	dir := t.TempDir()
	files := writeCert(t, dir, "server")
	files.CA, files.ClientAuth = files.Cert, ClientAuthRequire
	config, err := files.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{TLS: config})
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	r.dialTLS(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}).say("ECHO")
	without := r.dialTLS(&tls.Config{InsecureSkipVerify: true}) // TLS 1.3: refused after the client's side is done
	without.closed()
	same := writeCert(t, t.TempDir(), "server")
	forged, err := tls.LoadX509KeyPair(same.Cert, same.Key)
	if err != nil {
		t.Fatal(err)
	}
	if forged.Leaf.SerialNumber.Cmp(pair.Leaf.SerialNumber) != 0 || !bytes.Equal(forged.Leaf.RawIssuer, pair.Leaf.RawIssuer) {
		t.Fatal("the forged certificate is not like the trusted one")
	}
	// The client shows it although the server asks for others.
	r.dialTLS(&tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &forged, nil
	}}).closed()

	for _, bad := range []TLS{
		{Cert: files.Cert, Key: files.Key, ClientAuth: "maybe"},
		{Cert: files.Cert, Key: files.Key, ClientAuth: ClientAuthOffer},
		{Cert: files.Cert, Key: files.Key, ClientAuth: ClientAuthOffer, CA: files.Key},
		{Cert: files.Key, Key: files.Key},
		{Cert: filepath.Join(dir, "none"), Key: files.Key},
	} {
		if _, err := bad.Config(nil, nil); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// A certificate changed on disk is served without a restart; a broken one is not.
func TestTLSReload(t *testing.T) {
	dir := t.TempDir()
	files := writeCert(t, dir, "first")
	clock := &manual{now: time.Unix(1000, 0)}
	config, err := files.Config(clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		c, err := config.GetConfigForClient(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Certificates[0].Leaf.Subject.CommonName
	}
	touch := func(when time.Time) {
		for _, f := range []string{files.Cert, files.Key} {
			if err := os.Chtimes(f, when, when); err != nil {
				t.Fatal(err)
			}
		}
	}
	writeCert(t, dir, "second")
	touch(time.Unix(2000, 0))
	if got := name(); got != "first" {
		t.Errorf("served %s within the recheck time", got)
	}
	clock.now = clock.now.Add(recheck)
	if got := name(); got != "second" {
		t.Errorf("served %s after the change", got)
	}
	if err := os.WriteFile(files.Cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.now = clock.now.Add(recheck)
	if got := name(); got != "second" {
		t.Errorf("served %s after the certificate broke", got)
	}
}

// An authority changed on disk decides about the next client; who is connected
// stays.
func TestTLSReloadOfAuthorities(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	files := writeCert(t, dirs[0], "server")
	var pairs [2]tls.Certificate
	for i, dir := range dirs {
		if i == 1 {
			writeCert(t, dir, "other")
		}
		var err error
		if pairs[i], err = tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
			t.Fatal(err)
		}
	}
	files.CA, files.ClientAuth = filepath.Join(t.TempDir(), "ca.pem"), ClientAuthRequire
	trust := func(i int, when time.Time) {
		t.Helper()
		pem, err := os.ReadFile(filepath.Join(dirs[i], "cert.pem"))
		if err == nil {
			err = errors.Join(os.WriteFile(files.CA, pem, 0o600), os.Chtimes(files.CA, when, when))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	trust(0, time.Unix(1000, 0))
	clock := &manual{now: time.Unix(1000, 0)}
	config, err := files.Config(clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	infos := make(chan protocol.Info, 2)
	r := start(t, Options{TLS: config, CertUser: CertUserCN, Frontends: []protocol.Frontend{&echo{magic: "ECHO", infos: infos}}})
	cache := tls.NewLRUClientSessionCache(1)
	as := func(i int) *client {
		return r.dialTLS(&tls.Config{InsecureSkipVerify: true, Certificates: pairs[i : i+1], ClientSessionCache: cache, ServerName: "s"})
	}
	before := as(0)
	before.say("ECHO")
	if in := <-infos; in.CertUser != "server" {
		t.Errorf("certificate of %q", in.CertUser)
	}
	as(1).closed()

	trust(1, time.Unix(2000, 0))
	clock.now = clock.now.Add(recheck)
	after := as(1)
	after.say("ECHO")
	if in := <-infos; in.CertUser != "other" {
		t.Errorf("certificate of %q", in.CertUser)
	}
	as(0).closed()
	before.say("still here")
	eventually(t, "counted", func() bool { return r.Stats().Reasons["tls"] == 2 })
}

// Which user a certificate names. It names none where it is ambiguous (X24).
func TestCertUser(t *testing.T) {
	uri, err := url.Parse("spiffe://org/app")
	if err != nil {
		t.Fatal(err)
	}
	subject := func(parts ...string) (s pkix.RDNSequence) {
		oids := map[string]asn1.ObjectIdentifier{"CN": {2, 5, 4, 3}, "O": {2, 5, 4, 10}}
		for _, p := range parts {
			kind, value, _ := strings.Cut(p, "=")
			s = append(s, pkix.RelativeDistinguishedNameSET{{Type: oids[kind], Value: value}})
		}
		return s
	}
	for _, tc := range []struct {
		subject pkix.RDNSequence
		want    map[CertUser]string
	}{
		{subject("CN=app", "O=client"), map[CertUser]string{CertUserDN: "O=client,CN=app", CertUserCN: "app", "": "O=client,CN=app"}},
		{subject("O=client", "CN=app"), map[CertUser]string{CertUserDN: "CN=app,O=client"}},
		{subject("CN=app,O=admin"), map[CertUser]string{CertUserDN: `CN=app\,O=admin`, CertUserCN: "app,O=admin"}},
		{subject("CN=a", "CN=b"), map[CertUser]string{CertUserDN: "CN=b,CN=a", CertUserCN: ""}},
		{subject("CN=a\x00b"), map[CertUser]string{CertUserCN: ""}},
		{subject(), map[CertUser]string{
			CertUserDN: "", CertUserCN: "", CertUserSANDNS: "app.example.org", CertUserSANEmail: "app@example.org", CertUserSANURI: "spiffe://org/app",
		}},
	} {
		raw, err := asn1.Marshal(tc.subject)
		if err != nil {
			t.Fatal(err)
		}
		cert := &x509.Certificate{
			RawSubject: raw, DNSNames: []string{"app.example.org", "b"}, EmailAddresses: []string{"app@example.org"}, URIs: []*url.URL{uri},
		}
		for from, want := range tc.want {
			if got := userOf(cert, from); got != want {
				t.Errorf("%s of %s: %q, want %q", from, tc.subject, got, want)
			}
		}
	}
	for _, from := range CertUsers() {
		if got := userOf(&x509.Certificate{}, from); got != "" {
			t.Errorf("%s of nothing: %q", from, got)
		}
	}
}

// WriteBuffers packs small slices into few records and changes no byte.
func TestWriteRecords(t *testing.T) {
	for _, sizes := range [][]int{{}, {0}, {1}, {0, 0, 3, 0}, {5, 5, 5}, {recordSize}, {recordSize + 1, 3}, {recordSize - 1, 2, 2 * recordSize, 7}} {
		var b net.Buffers
		var want strings.Builder
		for i, n := range sizes {
			s := strings.Repeat(string(rune('a'+i)), n)
			b = append(b, []byte(s))
			want.WriteString(s)
		}
		w := &records{}
		n, err := writeRecords(w, &b, make([]byte, recordSize))
		if err != nil || int(n) != want.Len() || w.got.String() != want.String() || len(b) != 0 {
			t.Errorf("%v: wrote %d, %v; %d left", sizes, n, err, len(b))
		}
		if most := want.Len()/recordSize + 2; w.writes > most {
			t.Errorf("%v: %d writes", sizes, w.writes)
		}
	}
}

type records struct {
	net.Conn
	got    strings.Builder
	writes int
}

func (r *records) Write(p []byte) (int, error) { r.writes++; return r.got.Write(p) }
