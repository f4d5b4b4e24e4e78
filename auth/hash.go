package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/xdg-go/scram"
	"golang.org/x/crypto/argon2"

	"github.com/warrenmq/warren/internal/secret"
)

// What a new record is made with.
const (
	argonKiB   = 19 << 10
	argonTime  = 2
	argonLanes = 1
	argonSize  = 32
	saltSize   = 16
	scramIters = 4096

	// MaxPassword is how long a password may be, in bytes.
	MaxPassword = 4096
)

// ValidatePassword reports whether a password can be set.
func ValidatePassword(password secret.String) error {
	switch p := password.Reveal(); {
	case p == "":
		return errors.New("auth: the password is empty")
	case len(p) > MaxPassword:
		return fmt.Errorf("auth: the password is longer than %d bytes", MaxPassword)
	case strings.IndexByte(p, 0) >= 0:
		return errors.New("auth: the password contains a NUL")
	}
	return nil
}

// MaxName is how long a user's or vhost's name may be, in bytes.
const MaxName = 255

// ValidateName reports whether a user or vhost can have a name.
func ValidateName(name string) error {
	switch {
	case name == "":
		return errors.New("auth: the name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("auth: the name is longer than %d bytes", MaxName)
	case strings.IndexByte(name, 0) >= 0:
		return errors.New("auth: the name contains a NUL")
	}
	return nil
}

// NewRecord makes the record of a password: an argon2id hash and verifiers for
// SCRAM. It takes some 70 ms and 19 MiB. rand gives the salts.
func NewRecord(rand io.Reader, password secret.String) (secret.String, error) {
	if err := ValidatePassword(password); err != nil {
		return secret.String{}, err
	}
	salts := make([]byte, 3*saltSize)
	if _, err := io.ReadFull(rand, salts); err != nil {
		return secret.String{}, fmt.Errorf("auth: choose salts: %w", err)
	}
	a := &argonKey{kib: argonKiB, time: argonTime, lanes: argonLanes, salt: salts[:saltSize]}
	a.key = a.derive(password, argonSize)
	r := record{argon: a, scram: map[string]scram.StoredCredentials{}}
	for i, name := range []string{scram256Name, scram512Name} {
		c, ok, err := scramCredentials(name, password, salts[(i+1)*saltSize:(i+2)*saltSize])
		if err != nil {
			return secret.String{}, fmt.Errorf("auth: derive %s: %w", name, err)
		}
		if ok {
			r.scram[name] = c
		}
	}
	return secret.New(r.String()), nil
}

// scramCredentials makes one mechanism's verifiers. A password that SASLprep
// forbids, or of which it leaves nothing, gets none: it cannot be proved by
// SCRAM, and an empty one must not be.
func scramCredentials(name string, password secret.String, salt []byte) (scram.StoredCredentials, bool, error) {
	var none scram.StoredCredentials
	client, err := scramHash(name).NewClient("", password.Reveal(), "")
	if err != nil {
		return none, false, nil
	}
	factors := scram.KeyFactors{Salt: string(salt), Iters: scramIters}
	c, err := client.GetStoredCredentialsWithError(factors)
	if err != nil {
		return none, false, fmt.Errorf("derive the keys of %s: %w", name, err)
	}
	if isASCII(password.Reveal()) {
		return c, true, nil
	}
	client, err = scramHash(name).NewClient("", "", "")
	if err != nil {
		return none, false, fmt.Errorf("derive the keys of %s for no password: %w", name, err)
	}
	empty, err := client.GetStoredCredentialsWithError(factors)
	if err != nil {
		return none, false, fmt.Errorf("derive the keys of %s for no password: %w", name, err)
	}
	return c, !bytes.Equal(empty.StoredKey, c.StoredKey), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// ValidateRecord reports whether a text is a password record.
func ValidateRecord(text secret.String) error {
	_, err := parseRecord(text.Reveal())
	return err
}

// NeedsRehash reports whether the record is older than what NewRecord makes. A
// Verifier replaces it at the user's next login.
func NeedsRehash(text secret.String) bool {
	r, err := parseRecord(text.Reveal())
	return err == nil && !r.current()
}

// RabbitMQ's names of the hashes that ImportRabbitMQ takes.
const (
	RabbitSHA256 = "rabbit_password_hashing_sha256"
	RabbitSHA512 = "rabbit_password_hashing_sha512"
)

// ImportRabbitMQ makes a record of RabbitMQ's password_hash, base64 of a salt
// of four bytes and the hash of salt and password. An empty algorithm is
// SHA-256.
func ImportRabbitMQ(passwordHash secret.String, algorithm string) (secret.String, error) {
	var name string
	switch algorithm {
	case RabbitSHA256, "":
		name = rabbit256Name
	case RabbitSHA512:
		name = rabbit512Name
	default:
		return secret.String{}, fmt.Errorf("auth: password hash algorithm %q is not supported", algorithm)
	}
	sum, err := base64.StdEncoding.DecodeString(passwordHash.Reveal())
	if err != nil || len(sum) != 4+rabbitHashes(name)().Size() {
		return secret.String{}, fmt.Errorf("auth: not a password hash of %q", algorithm)
	}
	return secret.New(record{rabbit: &rabbitHash{name: name, sum: sum}}.String()), nil
}

// ExportRabbitMQ is the way back, while the record is as it was imported.
func ExportRabbitMQ(text secret.String) (passwordHash secret.String, algorithm string, ok bool) {
	r, err := parseRecord(text.Reveal())
	if err != nil || r.rabbit == nil {
		return secret.String{}, "", false
	}
	algorithm = RabbitSHA256
	if r.rabbit.name == rabbit512Name {
		algorithm = RabbitSHA512
	}
	return secret.New(base64.StdEncoding.EncodeToString(r.rabbit.sum)), algorithm, true
}

func rabbitHashes(name string) func() hash.Hash {
	if name == rabbit512Name {
		return sha512.New
	}
	return sha256.New
}

func (h *rabbitHash) verify(password secret.String) bool {
	d := rabbitHashes(h.name)()
	d.Write(h.sum[:4])
	_, _ = io.WriteString(d, password.Reveal())
	return subtle.ConstantTimeCompare(d.Sum(nil), h.sum[4:]) == 1
}

func (a *argonKey) derive(password secret.String, size int) []byte {
	return argon2.IDKey([]byte(password.Reveal()), a.salt, a.time, a.kib, a.lanes, uint32(size))
}

func (a *argonKey) verify(password secret.String) bool {
	return subtle.ConstantTimeCompare(a.derive(password, len(a.key)), a.key) == 1
}

func scramHash(name string) scram.HashGeneratorFcn {
	if name == scram512Name {
		return scram.SHA512
	}
	return scram.SHA256
}
