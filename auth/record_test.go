package auth

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/xdg-go/scram"
	"golang.org/x/crypto/argon2"

	"github.com/warrenmq/warren/internal/secret"
)

const pencil = "pencil"

func newRecord(t *testing.T, password string) (string, record) {
	t.Helper()
	salts := make([]byte, 3*saltSize)
	for i := range salts {
		salts[i] = byte(i)
	}
	text, err := NewRecord(bytes.NewReader(salts), secret.New(password))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRecord(text.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal(), r
}

func TestNewRecord(t *testing.T) {
	text, r := newRecord(t, pencil)
	want := "$w1$argon2id,m=19456,t=2,p=1,salt=AAECAwQFBgcICQoLDA0ODw,key="
	if !strings.HasPrefix(text, want) || strings.Contains(text, pencil) {
		t.Fatalf("got %s", text)
	}
	key := argon2.IDKey([]byte(pencil), []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"), 2, 19456, 1, 32)
	if !bytes.Equal(r.argon.key, key) {
		t.Fatal("the key is not argon2id's")
	}
	if !r.argon.verify(secret.New(pencil)) || r.argon.verify(secret.New("pencils")) {
		t.Fatal("the hash does not tell right from wrong")
	}
	if r.String() != text || NeedsRehash(secret.New(text)) || ValidateRecord(secret.New(text)) != nil {
		t.Fatal("the record does not come back as it was")
	}
	if len(r.scram) != 2 || r.scram[scram256Name].Iters != 4096 {
		t.Fatalf("verifiers: %v", r.scram)
	}
}

// TestScramVerifiers uses the example of RFC 7677.
func TestScramVerifiers(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	c, ok, err := scramCredentials(scram256Name, secret.New(pencil), salt)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return c, nil })
	if err != nil {
		t.Fatal(err)
	}
	conv := server.WithNonceGenerator(func() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }).NewConversation()
	for _, step := range [][2]string{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		if got, err := conv.Step(step[0]); err != nil || got != step[1] {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

func TestPasswordsWithoutScram(t *testing.T) {
	for _, password := range []string{
		"\u00ad\u00ad", // SASLprep leaves nothing of soft hyphens
		"a\u0007b",     // and forbids control characters
		"\u0627\u0031", // and mixed directions
	} {
		_, r := newRecord(t, password)
		if len(r.scram) != 0 {
			t.Errorf("%q has verifiers", password)
		}
		if !r.argon.verify(secret.New(password)) {
			t.Errorf("%q does not log in", password)
		}
	}
	if _, r := newRecord(t, "p\u00e4ssw\u00f6rd"); len(r.scram) != 2 {
		t.Error("a password that SASLprep takes has no verifiers")
	}
}

func TestPasswordsThatCannotBeSet(t *testing.T) {
	for _, password := range []string{"", "a\x00b", strings.Repeat("x", MaxPassword+1)} {
		if _, err := NewRecord(bytes.NewReader(make([]byte, 99)), secret.New(password)); err == nil {
			t.Errorf("%.10q was taken", password)
		}
	}
	if _, err := NewRecord(iotest.ErrReader(bytes.ErrTooLarge), secret.New("x")); err == nil {
		t.Error("no salt, but a record")
	}
}

// TestImportRabbitMQ uses the example of RabbitMQ's documentation for SHA-256.
func TestImportRabbitMQ(t *testing.T) {
	sum := sha512.Sum512([]byte("saltpencil"))
	for _, c := range []struct{ hash, algorithm, password string }{
		{"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", RabbitSHA256, "test12"},
		{"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "", "test12"},
		{base64.StdEncoding.EncodeToString(append([]byte("salt"), sum[:]...)), RabbitSHA512, pencil},
	} {
		text, err := ImportRabbitMQ(secret.New(c.hash), c.algorithm)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseRecord(text.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if !r.rabbit.verify(secret.New(c.password)) || r.rabbit.verify(secret.New(c.password+"x")) {
			t.Errorf("%s: wrong verdict", c.algorithm)
		}
		if !NeedsRehash(text) {
			t.Errorf("%s: would stay as it is", c.algorithm)
		}
		back, algorithm, ok := ExportRabbitMQ(text)
		if !ok || back.Reveal() != c.hash || c.algorithm != "" && algorithm != c.algorithm {
			t.Errorf("%s: exported as %q of %q", c.algorithm, back.Reveal(), algorithm)
		}
	}
	for _, c := range [][2]string{
		{"", RabbitSHA256},
		{"not base64", RabbitSHA256},
		{"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", RabbitSHA512},
		{"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "rabbit_password_hashing_md5"},
	} {
		if _, err := ImportRabbitMQ(secret.New(c[0]), c[1]); err == nil {
			t.Errorf("%q of %q was taken", c[0], c[1])
		}
	}
	text, _ := newRecord(t, pencil)
	if _, _, ok := ExportRabbitMQ(secret.New(text)); ok {
		t.Error("our own record exported as RabbitMQ's")
	}
}

func TestParseRecordRefuses(t *testing.T) {
	good, _ := newRecord(t, pencil)
	argon, rest, _ := strings.Cut(strings.TrimPrefix(good, "$w1$"), "$")
	zero := base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	rabbit := "rabbit-sha256,hash=" + base64.RawStdEncoding.EncodeToString(make([]byte, 36))
	for name, text := range map[string]string{
		"empty":                      "",
		"nothing":                    "$w1$",
		"other version":              strings.Replace(good, "$w1$", "$w2$", 1),
		"no dollar":                  good[1:],
		"no hash":                    "$w1$" + rest,
		"two hashes":                 "$w1$" + argon + "$" + rabbit,
		"twice":                      "$w1$" + argon + "$" + argon,
		"scram twice":                good + "$" + rest,
		"field twice":                strings.Replace(good, "t=2", "t=2,t=2", 1),
		"field unknown":              strings.Replace(good, "t=2", "t=2,x=1", 1),
		"field missing":              strings.Replace(good, "t=2,", "", 1),
		"section unknown":            good + "$md5,hash=AAAA",
		"too much memory":            strings.Replace(good, "m=19456", "m=1048576", 1),
		"too many passes":            strings.Replace(good, "t=2", "t=1000", 1),
		"no lanes":                   strings.Replace(good, "p=1", "p=0", 1),
		"not a number":               strings.Replace(good, "t=2", "t=two", 1),
		"key too short":              "$w1$argon2id,m=8,t=1,p=1,salt=" + zero + ",key=AAAA",
		"salt too short":             "$w1$argon2id,m=8,t=1,p=1,salt=AAAA,key=" + zero,
		"few iterations":             strings.Replace(good, "i=4096", "i=1000", 1),
		"endless iterations":         strings.Replace(good, "i=4096", "i=4000000000", 1),
		"stored key of a wrong size": "$w1$" + argon + "$scram-sha-512,i=4096,salt=" + zero + ",stored=" + zero + ",server=" + zero,
		"rabbit of a wrong size":     "$w1$" + strings.Replace(rabbit, "256", "512", 1),
		"rabbit without salt":        "$w1$rabbit-sha256,hash=AA",
		"not base64":                 strings.Replace(good, "salt=", "salt=!", 1),
		"too long":                   good + strings.Repeat("$", maxRecord),
	} {
		if _, err := parseRecord(text); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), hex.EncodeToString([]byte(zero))) || len(err.Error()) > 200 {
			t.Errorf("%s: the error repeats the record: %v", name, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("$w1$argon2id,m=19456,t=2,p=1,salt=AAECAwQFBgcICQoLDA0ODw,key=AAECAwQFBgcICQoLDA0ODw")
	f.Add("$w1$rabbit-sha256,hash=kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRecord(text)
		if err != nil {
			return
		}
		again, err := parseRecord(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q becomes %q, then %v", text, r, err)
		}
	})
}
