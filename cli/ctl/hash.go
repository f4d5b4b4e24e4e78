package ctl

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

func hashVerbs() []verb {
	return []verb{{
		name: "hash_password", tools: ctl, group: "Users", min: 0, max: 1, local: true, secret: true, usage: "[<cleartext_password>]",
		short:  "Hashes a plaintext password for a definitions file",
		banner: nil,
		run: func(c *call) error {
			password, err := c.password(0)
			if err != nil {
				return err
			}
			if password.Empty() {
				return c.failed(exitData, "Password cannot be empty")
			}
			c.banner("Will hash password *****")
			var salt [4]byte
			_, _ = rand.Read(salt[:]) // it never fails
			h := sha256.New()
			h.Write(salt[:])
			_, _ = io.WriteString(h, password.Reveal()) // a hash takes everything
			fmt.Fprintln(c.w.Stdout, base64.StdEncoding.EncodeToString(h.Sum(salt[:])))
			return nil
		},
	}}
}
