package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// A password record is one line of sections, each a name and fields:
//
//	$w1$argon2id,m=19456,t=2,p=1,salt=S,key=K$scram-sha-256,i=4096,salt=S,stored=K,server=K$scram-sha-512,...
//	$w1$rabbit-sha256,hash=H        imported, until the next login
//
// S, K and H are base64 without padding; m is in KiB. "w1" is the version.
const (
	recordVersion = "w1"

	argonName     = "argon2id"
	scram256Name  = "scram-sha-256"
	scram512Name  = "scram-sha-512"
	rabbit256Name = "rabbit-sha256"
	rabbit512Name = "rabbit-sha512"

	// maxRecord and the limits below keep a foreign record from costing more
	// than a login may.
	maxRecord     = 2048
	maxArgonKiB   = 64 << 10
	maxArgonTime  = 10
	maxArgonLanes = 4
	minScramIters = 4096
	maxScramIters = 1 << 20
	maxField      = 128 // bytes of salt or key
)

type argonKey struct {
	kib, time uint32
	lanes     uint8
	salt, key []byte
}

// rabbitHash is four bytes of salt and the hash of salt and password.
type rabbitHash struct {
	name string
	sum  []byte
}

// record is a password record taken apart.
type record struct {
	argon  *argonKey
	rabbit *rabbitHash
	scram  map[string]scram.StoredCredentials // by section name
}

// current reports whether a new record would look the same.
func (r record) current() bool {
	return r.argon != nil && r.argon.kib == argonKiB && r.argon.time == argonTime && r.argon.lanes == argonLanes &&
		r.rabbit == nil
}

func (r record) String() string {
	var b strings.Builder
	b.WriteString("$" + recordVersion)
	if a := r.argon; a != nil {
		fmt.Fprintf(&b, "$%s,m=%d,t=%d,p=%d,salt=%s,key=%s", argonName, a.kib, a.time, a.lanes,
			base64.RawStdEncoding.EncodeToString(a.salt), base64.RawStdEncoding.EncodeToString(a.key))
	}
	if h := r.rabbit; h != nil {
		fmt.Fprintf(&b, "$%s,hash=%s", h.name, base64.RawStdEncoding.EncodeToString(h.sum))
	}
	for _, name := range []string{scram256Name, scram512Name} {
		if c, ok := r.scram[name]; ok {
			fmt.Fprintf(&b, "$%s,i=%d,salt=%s,stored=%s,server=%s", name, c.Iters,
				base64.RawStdEncoding.EncodeToString([]byte(c.Salt)), base64.RawStdEncoding.EncodeToString(c.StoredKey), base64.RawStdEncoding.EncodeToString(c.ServerKey))
		}
	}
	return b.String()
}

var errRecord = errors.New("auth: not a password record")

func parseRecord(text string) (record, error) {
	var r record
	if len(text) > maxRecord {
		return r, fmt.Errorf("%w: too long", errRecord)
	}
	version, rest, _ := strings.Cut(strings.TrimPrefix(text, "$"), "$")
	if version != recordVersion || !strings.HasPrefix(text, "$") {
		return r, fmt.Errorf("%w of a known version", errRecord)
	}
	for section := range strings.SplitSeq(rest, "$") {
		if err := r.parseSection(section); err != nil {
			return record{}, err
		}
	}
	if (r.argon == nil) == (r.rabbit == nil) {
		return record{}, fmt.Errorf("%w: it needs one hash", errRecord)
	}
	return r, nil
}

func (r *record) parseSection(section string) error {
	name, rest, _ := strings.Cut(section, ",")
	f := fields{section: "a section", values: map[string]string{}}
	if slices.Contains([]string{argonName, scram256Name, scram512Name, rabbit256Name, rabbit512Name}, name) {
		f.section = name // other text is not repeated: it may be anything
	}
	for field := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(field, "=")
		if _, twice := f.values[key]; twice || !ok {
			return fmt.Errorf("%w: %s has bad fields", errRecord, f.section)
		}
		f.values[key] = value
	}
	switch name {
	case argonName:
		f.fail(r.argon != nil, "is there twice")
		r.argon = &argonKey{
			kib: f.number("m", 8, maxArgonKiB), time: f.number("t", 1, maxArgonTime),
			lanes: uint8(f.number("p", 1, maxArgonLanes)),
			salt:  f.bytes("salt", 8), key: f.bytes("key", 16),
		}
	case scram256Name, scram512Name:
		size := 32
		if name == scram512Name {
			size = 64
		}
		_, twice := r.scram[name]
		f.fail(twice, "is there twice")
		c := scram.StoredCredentials{StoredKey: f.bytes("stored", size), ServerKey: f.bytes("server", size)}
		c.Iters, c.Salt = int(f.number("i", minScramIters, maxScramIters)), string(f.bytes("salt", 8))
		f.fail(len(c.StoredKey) != size || len(c.ServerKey) != size, "has keys of a wrong size")
		if r.scram == nil {
			r.scram = map[string]scram.StoredCredentials{}
		}
		r.scram[name] = c
	case rabbit256Name, rabbit512Name:
		f.fail(r.rabbit != nil, "is there twice")
		r.rabbit = &rabbitHash{name: name, sum: f.bytes("hash", 4)}
		f.fail(len(r.rabbit.sum) != 4+rabbitHashes(name)().Size(), "has a hash of a wrong size")
	default:
		f.fail(true, "is unknown")
	}
	f.fail(len(f.values) > 0, "has unknown fields")
	return f.err
}

// fields takes the fields of one section, each once, and keeps the first error.
type fields struct {
	section string
	values  map[string]string
	err     error
}

func (f *fields) fail(when bool, what string) {
	if when && f.err == nil {
		f.err = fmt.Errorf("%w: %s %s", errRecord, f.section, what)
	}
}

func (f *fields) take(key string) string {
	v, ok := f.values[key]
	f.fail(!ok, "lacks "+key)
	delete(f.values, key)
	return v
}

func (f *fields) number(key string, lowest, highest uint32) uint32 {
	n, err := strconv.ParseUint(f.take(key), 10, 32)
	f.fail(err != nil || uint32(n) < lowest || uint32(n) > highest, "has a bad "+key)
	return uint32(n)
}

func (f *fields) bytes(key string, least int) []byte {
	b, err := base64.RawStdEncoding.DecodeString(f.take(key))
	f.fail(err != nil || len(b) < least || len(b) > maxField, "has a bad "+key)
	return b
}
