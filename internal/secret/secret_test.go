package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/warrenmq/warren/internal/secret"
)

const canary = "c4nary-Pa55"

type holder struct {
	Open   secret.String
	hidden secret.String
	Ptr    *secret.String
}

func TestNoWayOfPrintingShowsIt(t *testing.T) {
	s := secret.New(canary)
	h := holder{Open: s, hidden: s, Ptr: &s}
	var out strings.Builder
	for _, v := range []any{s, &s, h, &h, []secret.String{s}, map[string]secret.String{"k": s}, fmt.Errorf("login with %v", s)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%p", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	fmt.Fprint(&out, s, h)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("m", "s", s, "p", &s, "h", h, slog.Group("g", "s", s))
	}
	for name, marshal := range map[string]func(any) ([]byte, error){
		"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal,
		"gob": func(v any) ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.Bytes(), err
		},
	} {
		for _, v := range []any{s, h} {
			b, err := marshal(v)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out.Write(b)
		}
	}
	hex := fmt.Sprintf("%x", canary)
	if got := out.String(); strings.Contains(got, canary) || strings.Contains(strings.ToLower(got), hex) {
		t.Fatalf("the secret shows:\n%s", got)
	}
	if !strings.Contains(out.String(), secret.Mask) {
		t.Fatal("nothing was printed at all")
	}
}

func TestRevealAndRead(t *testing.T) {
	var h struct{ Open secret.String }
	if err := json.Unmarshal([]byte(`{"Open":"`+canary+`"}`), &h); err != nil || h.Open.Reveal() != canary {
		t.Fatalf("json: %v", err)
	}
	h.Open = secret.String{}
	if err := yaml.Unmarshal([]byte("open: "+canary), &h); err != nil || h.Open.Reveal() != canary {
		t.Fatalf("yaml: %v", err)
	}
	if !h.Open.Equal(secret.New(canary)) || h.Open.Equal(secret.New("other")) || h.Open.Empty() {
		t.Fatal("Equal or Empty is wrong")
	}
	var zero secret.String
	if !zero.Empty() || !zero.IsZero() || zero.Reveal() != "" || !zero.Equal(secret.New("")) {
		t.Fatal("the zero value is not the empty text")
	}
}
