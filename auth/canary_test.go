package auth_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/secret"
)

// TestNoPasswordShows sends a canary down every path and prints everything
// that comes back or can be printed.
func TestNoPasswordShows(t *testing.T) {
	const canary = "c4nary-Pa55word"
	var out bytes.Buffer
	show := func(values ...any) {
		for _, v := range values {
			fmt.Fprintf(&out, "%v %+v %#v %s %q\n", v, v, v, v, v)
			if text, err := json.Marshal(v); err == nil {
				out.Write(text)
			}
			slog.New(slog.NewJSONHandler(&out, nil)).Info("shown", "value", v)
		}
	}
	text, err := auth.NewRecord(newRandom(3), secret.New(canary))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *auth.VerifierOptions) {
		o.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Upgrade = func(u auth.Upgrade) { show(u) }
		o.SaltKey = secret.New(canary)
	})
	r.catalog.setUser("alice", text)
	r.catalog.setUser("odd", secret.New(canary+"$not$a$record"))
	_, err = auth.ImportRabbitMQ(secret.New(canary), "")
	show(err, auth.ValidateRecord(secret.New(canary)), auth.ValidateRecord(secret.New("$w1$"+canary+",x="+canary)))
	for _, password := range []string{canary, "not " + canary, canary + "\x00", strings.Repeat(canary, 500)} {
		for _, user := range []string{"alice", "odd", "nobody", "guest"} {
			c := auth.Credentials{User: user, Password: secret.New(password), Peer: remote}
			r.clock.Advance(1e12)
			id, err := r.Authenticate(t.Context(), c)
			show(c, id, err)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = r.NewRecord(ctx, secret.New(password))
			show(err)
		}
		conv, err := r.Begin(auth.Plain, remote)
		if err != nil {
			t.Fatal(err)
		}
		for _, response := range []string{"\x00alice\x00" + password, password, "\x00" + password} {
			c, errParse := auth.ParsePlain([]byte(response))
			s, err := conv.Step(t.Context(), []byte(response))
			show(conv, s, err, c.Password, errParse)
		}
	}
	client := scramClient(t, auth.ScramSHA256, "alice", canary, "")
	_, s, err := exchange(t, r, auth.ScramSHA256, client, remote)
	if err != nil {
		t.Fatal(err)
	}
	user, _ := r.catalog.current().User("alice")
	show(s, user, r.Verifier, r.Stats(), r.catalog.now.Load())
	got := out.String()
	if strings.Contains(got, canary) || strings.Contains(strings.ToLower(got), hex.EncodeToString([]byte(canary))) {
		i := strings.Index(got, canary)
		t.Fatalf("the password shows: ...%s", got[max(0, i-300):min(len(got), i+100)])
	}
	if record := text.Reveal(); strings.Contains(got, record[len(record)-40:]) {
		t.Fatal("a password record shows")
	}
	if len(got) < 10_000 {
		t.Fatalf("only %d bytes were printed", len(got))
	}
}
