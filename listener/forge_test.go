package listener

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// Types of TLS records, and the two handshake messages that are forged.
const (
	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	helloMessage     = 1
	keyUpdateMessage = 24
)

// A forger is a TLS client that has shaken hands as crypto/tls does and then
// seals its records itself, so that it can send what crypto/tls never would.
type forger struct {
	t      *testing.T
	raw    net.Conn
	in     *tls.Conn // reads what the server says; must not write any more
	secret []byte    // of TLS 1.3
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// forge connects with a version of TLS.
func forge(r *running, version uint16) *forger {
	r.t.Helper()
	c := r.dial()
	tap := &tap{Conn: c}
	var keys bytes.Buffer
	f := &forger{t: r.t, raw: c, in: tls.Client(tap, &tls.Config{
		InsecureSkipVerify: true, KeyLogWriter: &keys, MinVersion: version, MaxVersion: version,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})}
	if err := f.in.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	if version == tls.VersionTLS13 {
		f.rekey(logged(r.t, keys.String(), "CLIENT_TRAFFIC_SECRET_0"))
	} else {
		f.keys12(logged(r.t, keys.String(), "CLIENT_RANDOM"), tap)
	}
	return f
}

// logged finds a secret in a key log.
func logged(t *testing.T, keys, label string) []byte {
	t.Helper()
	for line := range strings.Lines(keys) {
		if parts := strings.Fields(line); parts[0] == label {
			secret, err := hex.DecodeString(parts[2])
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
	}
	t.Fatalf("no %s in the key log", label)
	return nil
}

// rekey takes a TLS 1.3 traffic secret into use (RFC 8446, 7.3).
func (f *forger) rekey(secret []byte) {
	f.t.Helper()
	size, open := 16, newGCM
	if f.in.ConnectionState().CipherSuite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		size, open = chacha20poly1305.KeySize, chacha20poly1305.New
	}
	aead, err := open(f.expand(secret, "key", size))
	if err != nil {
		f.t.Fatal(err)
	}
	f.secret, f.aead, f.iv, f.seq = secret, aead, f.expand(secret, "iv", 12), 0
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expand is HKDF-Expand-Label without a context.
func (f *forger) expand(secret []byte, label string, size int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), size)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// keys12 derives the client's keys of TLS 1.2 (RFC 5246, 6.3). Its Finished was
// the first record under them.
func (f *forger) keys12(master []byte, tap *tap) {
	f.t.Helper()
	random := func(hello []byte) []byte { return hello[5+4+2:][:32] } // after record header, message header, version
	seed := append(append([]byte("key expansion"), random(tap.in.Bytes())...), random(tap.out.Bytes())...)
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, master)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var block []byte
	for a := mac(seed); len(block) < 40; a = mac(a) {
		block = append(block, mac(a, seed)...)
	}
	aead, err := newGCM(block[:16])
	if err != nil {
		f.t.Fatal(err)
	}
	f.aead, f.iv, f.seq = aead, block[32:36], 1
}

// seal returns a record.
func (f *forger) seal(kind byte, payload []byte) []byte {
	if f.secret == nil {
		return f.seal12(kind, payload)
	}
	inner := append(bytes.Clone(payload), kind)
	header := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+f.aead.Overhead()))
	nonce := bytes.Clone(f.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, f.seq) {
		nonce[4+i] ^= b
	}
	f.seq++
	return f.aead.Seal(header, nonce, inner, header)
}

func (f *forger) seal12(kind byte, payload []byte) []byte {
	seq := binary.BigEndian.AppendUint64(nil, f.seq)
	f.seq++
	aad := binary.BigEndian.AppendUint16(append(bytes.Clone(seq), kind, 3, 3), uint16(len(payload)))
	header := binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(seq)+len(payload)+f.aead.Overhead()))
	return f.aead.Seal(append(header, seq...), append(bytes.Clone(f.iv), seq...), payload, aad)
}

// keyUpdate returns the record of a KeyUpdate and takes the next keys into use.
func (f *forger) keyUpdate(answer bool) []byte {
	message := []byte{keyUpdateMessage, 0, 0, 1, 0}
	if answer {
		message[4] = 1
	}
	record := f.seal(recordHandshake, message)
	f.rekey(f.expand(f.secret, "traffic upd", sha256.Size))
	return record
}

// send writes records; false means that the server has closed the connection.
func (f *forger) send(records ...[]byte) bool {
	_, err := f.raw.Write(bytes.Join(records, nil))
	return err == nil
}

// hear wants text of the server.
func (f *forger) hear(text string) {
	f.t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(f.in, got); err != nil || string(got) != text {
		f.t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

// closed waits for the server to close the connection, without reading as TLS.
func (f *forger) closed() {
	f.t.Helper()
	if _, err := io.Copy(io.Discard, f.raw); isTimeout(err) {
		f.t.Error("the connection was not closed")
	}
}

func isTimeout(err error) bool {
	nerr, ok := err.(net.Error)
	return ok && nerr.Timeout()
}

// A tap keeps what went over a connection.
type tap struct {
	net.Conn
	in, out bytes.Buffer
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Write(p[:n])
	return n, err
}

func (c *tap) Write(p []byte) (int, error) {
	c.out.Write(p)
	return c.Conn.Write(p)
}

// A shredder cuts the plaintext handshake records that go through it into
// records of one byte.
type shredder struct{ net.Conn }

func (c shredder) Write(p []byte) (int, error) {
	var out []byte
	for rest := p; len(rest) >= 5; {
		size := 5 + int(binary.BigEndian.Uint16(rest[3:]))
		if rest[0] != recordHandshake {
			out = append(out, rest[:size]...)
		} else {
			for _, b := range rest[5:size] {
				out = append(out, recordHandshake, 3, 1, 0, 1, b)
			}
		}
		rest = rest[size:]
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
