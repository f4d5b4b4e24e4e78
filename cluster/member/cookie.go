package member

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/secret"
)

// The length of cookies.
const (
	MinCookie = 16   // shorter ones need CookieOptions.Short
	MaxCookie = 4096 // bytes of a file
	madeBytes = 24   // of chance in a cookie that is made
)

// CookieOptions say where the cookie is: the secret that admits nodes. The first
// of these that is given counts.
type CookieOptions struct {
	// Value is the cookie itself, from RABBITMQ_ERLANG_COOKIE.
	Value secret.String
	// File names the file that holds it, from --cookie-file. It must be there.
	File string
	// Home is the user's home directory, where .erlang.cookie is looked for.
	Home string
	// Make is the file in the data directory that is used if there is no other,
	// and made if it is not there and MayMake.
	Make string
	// MayMake: this node founds a cluster.
	MayMake bool
	// Short allows cookies of less than MinCookie bytes.
	Short bool

	FS   vfs.FS    // required
	Rand io.Reader // for a cookie that is made
}

// ErrNoCookie is returned, wrapped, when there is no cookie and none may be made.
var ErrNoCookie = errors.New("member: no cookie")

// Cookie returns the cookie and where it is from, in words.
func Cookie(o CookieOptions) (c secret.String, from string, err error) {
	if !o.Value.Empty() {
		return o.Value, "RABBITMQ_ERLANG_COOKIE", checkCookie(o.Value, "RABBITMQ_ERLANG_COOKIE", o.Short)
	}
	if o.File != "" {
		c, err := readCookie(o.FS, o.File, o.Short)
		return c, o.File, err
	}
	var files []string
	if o.Home != "" {
		files = append(files, o.FS.PathJoin(o.Home, ".erlang.cookie"))
	}
	if o.Make != "" {
		files = append(files, o.Make)
	}
	for _, file := range files {
		c, err := readCookie(o.FS, file, o.Short)
		if !errors.Is(err, iofs.ErrNotExist) {
			return c, file, err
		}
	}
	if !o.MayMake || o.Make == "" {
		return secret.String{}, "", fmt.Errorf("%w: give --cookie-file FILE, with what the other nodes have", ErrNoCookie)
	}
	c, err = makeCookie(o.FS, o.Make, o.Rand)
	return c, o.Make, err
}

func checkCookie(c secret.String, from string, short bool) error {
	switch n := len(c.Reveal()); {
	case n == 0:
		return fmt.Errorf("member: the cookie of %s is empty", from)
	case n > MaxCookie:
		return fmt.Errorf("member: the cookie of %s has %d bytes, at most %d are allowed", from, n, MaxCookie)
	case n < MinCookie && !short:
		return fmt.Errorf("member: the cookie of %s has %d bytes, fewer than %d can be guessed: make a longer one, or allow it with cluster.short_cookie: allowed", from, n, MinCookie)
	}
	return nil
}

// readCookie reads a file that nobody else may read. Erlang wants its cookie so
// as well, and knows no line's end in it; editors make one, which is left out.
func readCookie(fs vfs.FS, file string, short bool) (secret.String, error) {
	info, err := fs.Stat(file)
	if err != nil {
		return secret.String{}, fmt.Errorf("member: look at the cookie: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&^0o600 != 0 || mode.Perm()&0o400 == 0 {
		return secret.String{}, fmt.Errorf("member: the cookie %s has mode %04o and must have 0400 or 0600: chmod 400 it", file, mode.Perm())
	}
	f, err := fs.Open(file)
	if err != nil {
		return secret.String{}, fmt.Errorf("member: open the cookie: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxCookie+3))
	if err := errors.Join(err, f.Close()); err != nil {
		return secret.String{}, fmt.Errorf("member: read the cookie %s: %w", file, err)
	}
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	c := secret.New(string(text))
	return c, checkCookie(c, file, short)
}

// makeCookie writes a random cookie. fs makes files that are their owner's alone.
func makeCookie(fs vfs.FS, file string, rand io.Reader) (secret.String, error) {
	var chance [madeBytes]byte
	if _, err := io.ReadFull(rand, chance[:]); err != nil {
		return secret.String{}, fmt.Errorf("member: make a cookie: %w", err)
	}
	c := secret.New(base64.RawURLEncoding.EncodeToString(chance[:]))
	if err := writeCookie(fs, file, c); err != nil {
		return secret.String{}, fmt.Errorf("member: make the cookie %s: %w", file, err)
	}
	return c, nil
}

// writeCookie makes the file whole or not at all.
func writeCookie(fs vfs.FS, file string, c secret.String) error {
	f, err := fs.Create(file+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(c.Reveal()))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(file+".new", file); err != nil {
		return err
	}
	dir, err := fs.OpenDir(fs.PathDir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
