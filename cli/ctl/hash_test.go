package ctl

import (
	"strings"
	"testing"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/internal/secret"
)

// hash_password prints what a definitions file can hold as password_hash.
func TestHashPassword(t *testing.T) {
	d := newDesk(t, nil)
	if code := d.run("hash_password", "-q", "s3cret"); code != exitOK {
		t.Fatal(code, d.errs.String())
	}
	first := strings.TrimSpace(d.out.String())
	if _, err := auth.ImportRabbitMQ(secret.New(first), auth.RabbitSHA256); err != nil {
		t.Error(err)
	}
	d.stdin = "s3cret\n"
	if code := d.run("hash_password"); code != exitOK || !strings.HasPrefix(d.out.String(), "Password: \nWill hash password *****\n") {
		t.Errorf("%d, %s", code, d.out.String())
	}
	if strings.Contains(d.out.String(), first) || strings.Contains(d.out.String(), "s3cret") {
		t.Error("the salt is always the same, or the password shows")
	}
}

// What nothing here corresponds to says so, and what to do instead.
func TestRenaming(t *testing.T) {
	d := newDesk(t, nil)
	for _, line := range []string{"rename_vhost a b", "rename_user a b"} {
		if code := d.run(strings.Fields(line)...); code != exitUnavailable || len(d.errs.String()) < 40 {
			t.Errorf("%s: %d, %s", line, code, d.errs.String())
		}
	}
}
