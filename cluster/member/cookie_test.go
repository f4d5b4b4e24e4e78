package member

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/storage"
)

const long = "ABCDEFGHIJKLMNOPQRST" // as Erlang makes them

// estate R7: the cookie of an Erlang node is taken, with its rules.
func TestCookie(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	write("home/.erlang.cookie", long+"home", 0o400)
	for _, c := range []struct {
		name  string
		o     CookieOptions
		want  string
		wrong string
	}{
		{name: "value", o: CookieOptions{Value: secret.New(long), Home: home}, want: long},
		{name: "short value", o: CookieOptions{Value: secret.New("secret")}, wrong: "6 bytes"},
		{name: "short value allowed", o: CookieOptions{Value: secret.New("secret"), Short: true}, want: "secret"},
		{name: "file", o: CookieOptions{File: write("400", long+"\n", 0o400), Home: home}, want: long},
		{name: "mode 600", o: CookieOptions{File: write("600", long+"\r\n", 0o600)}, want: long},
		{name: "mode 640", o: CookieOptions{File: write("640", long, 0o640)}, wrong: "mode 0640 and must have 0400 or 0600"},
		{name: "mode 700", o: CookieOptions{File: write("700", long, 0o700)}, wrong: "mode 0700"},
		{name: "mode 200", o: CookieOptions{File: write("200", long, 0o200)}, wrong: "mode 0200"},
		{name: "no regular file", o: CookieOptions{File: dir}, wrong: "mode"},
		{name: "empty", o: CookieOptions{File: write("empty", "\n", 0o400), Short: true}, wrong: "is empty"},
		{name: "short", o: CookieOptions{File: write("short", "123456789012345", 0o400)}, wrong: "15 bytes, fewer than 16"},
		{name: "huge", o: CookieOptions{File: write("huge", strings.Repeat("x", MaxCookie+1), 0o400)}, wrong: "at most 4096"},
		{name: "no such file", o: CookieOptions{File: filepath.Join(dir, "none"), Home: home}, wrong: "no such file"},
		{name: "home", o: CookieOptions{Home: home, Make: filepath.Join(dir, "made")}, want: long + "home"},
		{name: "none", o: CookieOptions{Home: dir, Make: filepath.Join(dir, "made")}, wrong: "--cookie-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.FS = storage.PrivateFS()
			got, from, err := Cookie(c.o)
			switch {
			case c.wrong == "" && (err != nil || got.Reveal() != c.want || from == ""):
				t.Errorf("%q from %s, %v", got.Reveal(), from, err)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
				t.Errorf("%v, want %q", err, c.wrong)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the cookie: %v", err)
			}
		})
	}
}

// A founder without a cookie makes one, and finds it again.
func TestCookieIsMade(t *testing.T) {
	dir := t.TempDir()
	o := CookieOptions{
		Home: dir, Make: filepath.Join(dir, "cookie"), MayMake: true, FS: storage.PrivateFS(), Rand: strings.NewReader(long + long),
	}
	made, from, err := Cookie(o)
	if err != nil || from != o.Make || len(made.Reveal()) < MinCookie {
		t.Fatalf("%d bytes from %s, %v", len(made.Reveal()), from, err)
	}
	if info, err := os.Stat(o.Make); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	o.MayMake, o.Rand = false, nil
	again, _, err := Cookie(o)
	if err != nil || !again.Equal(made) {
		t.Errorf("another one: %v", err)
	}
	if s := fmt.Sprintf("%v %+v", again, o); strings.Contains(s, made.Reveal()) {
		t.Error("it is shown")
	}
	o.Make = filepath.Join(dir, "other")
	if _, _, err := Cookie(o); !errors.Is(err, ErrNoCookie) {
		t.Errorf("made without being allowed to: %v", err)
	}
	o.MayMake, o.Rand = true, strings.NewReader("short")
	if _, _, err := Cookie(o); err == nil {
		t.Error("made of too little chance")
	}
}
