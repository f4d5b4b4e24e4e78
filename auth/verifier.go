package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
)

// VerifierOptions of NewVerifier.
type VerifierOptions struct {
	// Directory returns the current picture. Required.
	Directory func() Directory
	// Clock and Rand (safe for use by several goroutines). Required.
	Clock clock.Clock
	Rand  io.Reader
	// SaltKey makes the salts that SCRAM shows for users who do not exist. It
	// should be the same on all nodes and after a restart. Default random.
	SaltKey secret.String
	// Hashers is how many passwords are hashed at once. Default 1.
	Hashers int
	// Queue is how many attempts may wait for that. Default 64; negative none.
	Queue int
	// Remember is how long a password found right is not hashed again.
	// Default 10 min; negative not at all.
	Remember time.Duration
	// Remembered is how many users that is done for. Default 4096.
	Remembered int
	// LoopbackUsers may log in from a loopback address only. Default guest;
	// empty but not nil means nobody.
	LoopbackUsers []string
	// Upgrade is given a new record for a user whose record is of an older
	// kind, once the password is known. It must not block. Default none.
	Upgrade func(Upgrade)
	// Logger hears of records that cannot be used. Default none.
	Logger *slog.Logger
}

// An Upgrade replaces the record of the user as of Revision.
type Upgrade struct {
	User     string
	Revision uint64
	Record   secret.String
}

// Credentials are what a peer shows to log in with a password.
type Credentials struct {
	User     string
	Password secret.String
	// Peer is the client's address, after a trusted proxy was looked through.
	Peer netip.AddrPort
	// Mechanism is noted in the Identity.
	Mechanism string
}

// An Identity is a user who has logged in.
type Identity struct {
	User      string
	Tags      Tags
	Revision  uint64 // of the user, then
	Mechanism string
}

// VerifierStats counts what a Verifier did.
type VerifierStats struct {
	Hashes     uint64 // passwords hashed
	Shared     uint64 // attempts that took the answer of an equal one
	Remembered uint64 // logins that needed none
	Refused    uint64 // logins refused
	Busy       uint64 // attempts turned away because too many waited
	Waiting    int    // attempts waiting for a hasher now
}

// Verifier checks credentials. It may be used by several goroutines.
type Verifier struct {
	o      VerifierOptions
	slots  *slots
	fly    flights
	known  verified
	slow   throttle
	key    []byte // of fingerprints and hashed names
	fake   *argonKey
	hashes atomic.Uint64
	hits   atomic.Uint64
	no     atomic.Uint64
	busy   atomic.Uint64
}

// NewVerifier returns a verifier.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if o.Directory == nil || o.Clock == nil || o.Rand == nil {
		return nil, errors.New("auth: a Verifier needs Directory, Clock and Rand")
	}
	o = o.withDefaults()
	random := make([]byte, 96)
	if _, err := io.ReadFull(o.Rand, random); err != nil {
		return nil, fmt.Errorf("auth: choose keys: %w", err)
	}
	if o.SaltKey.Empty() {
		o.SaltKey = secret.New(string(random[64:]))
	}
	return &Verifier{
		o:     o,
		slots: newSlots(o.Hashers, max(0, o.Queue)),
		known: verified{size: o.Remembered, ttl: o.Remember},
		key:   random[:32],
		fake: &argonKey{
			kib: argonKiB, time: argonTime, lanes: argonLanes,
			salt: random[32 : 32+saltSize], key: make([]byte, argonSize),
		},
	}, nil
}

func (o VerifierOptions) withDefaults() VerifierOptions {
	if o.Hashers <= 0 {
		o.Hashers = 1
	}
	if o.Queue == 0 {
		o.Queue = 64
	}
	if o.Remember == 0 {
		o.Remember = 10 * time.Minute
	}
	if o.Remembered <= 0 {
		o.Remembered = 4096
	}
	if o.LoopbackUsers == nil {
		o.LoopbackUsers = []string{"guest"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Stats may be called at any time.
func (v *Verifier) Stats() VerifierStats {
	return VerifierStats{
		Hashes: v.hashes.Load(), Shared: v.fly.joined(), Remembered: v.hits.Load(), Refused: v.no.Load(), Busy: v.busy.Load(),
		Waiting: int(v.slots.waiting.Load()),
	}
}

// Authenticate checks a user's password. It returns an Error of kind Refused,
// the same and after the same work for an unknown user as for a wrong
// password, or Busy, or the context's error. It may block for some seconds: for
// a hasher, and after failures of the same user from the same network.
func (v *Verifier) Authenticate(ctx context.Context, c Credentials) (Identity, error) {
	id, err := v.authenticate(ctx, c)
	switch KindOf(err) {
	case Refused:
		v.no.Add(1)
	case Busy:
		v.busy.Add(1)
	}
	return id, err
}

func (v *Verifier) authenticate(ctx context.Context, c Credentials) (Identity, error) {
	if err := v.admissible(c.User, c.Peer); err != nil {
		return Identity{}, err
	}
	if err := ValidatePassword(c.Password); err != nil {
		return Identity{}, refused(c.User, "the password is blank or cannot be one")
	}
	if u, ok := v.o.Directory().User(c.User); ok && v.known.has(u.Name, v.fingerprint(u, c.Password), v.o.Clock.Mono()) {
		v.hits.Add(1)
		return identity(u, c.Mechanism), nil
	}
	from := v.source(c.User, c.Peer)
	if err := v.wait(ctx, c.User, from); err != nil {
		return Identity{}, err
	}
	for {
		u, ok := v.o.Directory().User(c.User)
		if !ok {
			u = User{Name: c.User}
		}
		right, err := v.check(ctx, u, c.Password)
		switch {
		case err != nil:
			return Identity{}, err
		case !right:
			v.slow.failed(from, v.o.Clock.Mono())
			return Identity{}, refused(c.User, "invalid credentials")
		}
		// The user may have changed while the password was hashed.
		if now, ok := v.o.Directory().User(c.User); ok && now.Revision == u.Revision {
			v.slow.succeeded(from)
			return identity(u, c.Mechanism), nil
		}
	}
}

func identity(u User, mechanism string) Identity {
	return Identity{User: u.Name, Tags: slices.Clone(u.Tags), Revision: u.Revision, Mechanism: mechanism}
}

// admissible refuses what no password could make good, at no cost: it depends
// on nothing that is stored of the user.
func (v *Verifier) admissible(user string, peer netip.AddrPort) error {
	if err := ValidateName(user); err != nil {
		if len(user) > MaxName {
			user = user[:MaxName]
		}
		return refused(user, "the name cannot be one")
	}
	if slices.Contains(v.o.LoopbackUsers, user) && !peer.Addr().Unmap().IsLoopback() {
		return refused(user, "can only connect via localhost")
	}
	return nil
}

// wait holds an attempt back after failures.
func (v *Verifier) wait(ctx context.Context, user string, from source) error {
	d, ok := v.slow.admit(from, v.o.Clock.Mono())
	if !ok {
		return refused(user, "too many failed logins")
	}
	if d == 0 {
		return nil
	}
	t := v.o.Clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// check hashes the password, or waits for an equal attempt that does.
func (v *Verifier) check(ctx context.Context, u User, password secret.String) (bool, error) {
	fp := v.fingerprint(u, password)
	for {
		right, led, err := v.fly.do(ctx, fp, func() (bool, error) { return v.hash(ctx, u, password, fp) })
		if led || err == nil || KindOf(err) == Busy || ctx.Err() != nil {
			return right, err
		}
		// Whoever was hashing gave up; this attempt goes on.
	}
}

// hash is where passwords are hashed: once for every attempt, whatever is
// stored of the user.
func (v *Verifier) hash(ctx context.Context, u User, password secret.String, fp fingerprint) (bool, error) {
	if err := v.slots.take(ctx); err != nil {
		return false, err
	}
	defer v.slots.give()
	if v.known.has(u.Name, fp, v.o.Clock.Mono()) { // found right since this attempt began to wait
		v.hits.Add(1)
		return true, nil
	}
	v.hashes.Add(1)
	r := v.record(u)
	right := false
	switch {
	case r.argon != nil:
		right = r.argon.verify(password)
	case r.rabbit != nil && r.rabbit.verify(password):
		right = true // and upgrade hashes it for real
	default:
		v.fake.verify(password)
	}
	if !right {
		return false, nil
	}
	if v.o.Remember > 0 {
		v.known.add(u.Name, fp, v.o.Clock.Mono())
	}
	if !r.current() {
		v.upgrade(u, password)
	}
	return true, nil
}

// record returns the user's record, empty if there is none that can be used.
func (v *Verifier) record(u User) record {
	if u.Password.Empty() {
		return record{}
	}
	r, err := parseRecord(u.Password.Reveal())
	if err != nil {
		v.o.Logger.Error("a stored password record cannot be used and refuses", "user", u.Name, "err", err)
	}
	return r
}

func (v *Verifier) upgrade(u User, password secret.String) {
	if v.o.Upgrade == nil {
		return
	}
	text, err := NewRecord(v.o.Rand, password)
	if err != nil {
		v.o.Logger.Error("a password record cannot be renewed", "user", u.Name, "err", err)
		return
	}
	v.o.Upgrade(Upgrade{User: u.Name, Revision: u.Revision, Record: text})
}

// NewRecord is the package's NewRecord within the bound on hashing, for
// commands that set a password.
func (v *Verifier) NewRecord(ctx context.Context, password secret.String) (secret.String, error) {
	if err := v.slots.take(ctx); err != nil {
		return secret.String{}, err
	}
	defer v.slots.give()
	return NewRecord(v.o.Rand, password)
}

func (v *Verifier) fingerprint(u User, password secret.String) fingerprint {
	m := hmac.New(sha256.New, v.key)
	var head [17]byte
	head[0] = 'p'
	binary.BigEndian.PutUint64(head[1:], u.Revision)
	binary.BigEndian.PutUint64(head[9:], uint64(len(u.Name)))
	m.Write(head[:])
	_, _ = io.WriteString(m, u.Name)
	_, _ = io.WriteString(m, password.Reveal())
	return fingerprint(m.Sum(nil))
}

func (v *Verifier) source(user string, peer netip.AddrPort) source {
	m := hmac.New(sha256.New, v.key)
	_, _ = io.Copy(m, strings.NewReader("u"+user))
	return source{user: [16]byte(m.Sum(nil)[:16]), net: network(peer.Addr())}
}
