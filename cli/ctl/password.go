package ctl

import (
	"fmt"
	"io"
	"strings"

	"github.com/warrenmq/warren/internal/secret"
)

// mostPassword bounds what is read for a password: no longer one can be set.
const mostPassword = 8 << 10

// password returns the i-th argument, or if it was not given the first line of
// standard input: there nobody sees it in the list of processes.
func (c *call) password(i int) (secret.String, error) {
	if len(c.args) > i {
		return secret.New(c.args[i]), nil
	}
	if !c.quiet && !c.silent {
		fmt.Fprintln(c.w.Stdout, "Password: ")
	}
	restore := hideTyping(c.w.Stdin)
	defer restore()
	line, err := readLine(c.w.Stdin, mostPassword)
	if err != nil {
		return secret.String{}, c.failed(exitUnavailable, "read the password from standard input: %v", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return secret.String{}, c.failed(exitData, "Password is not provided via argument or stdin")
	}
	return secret.New(line), nil
}

// readLine reads to the first newline and not a byte further.
func readLine(r io.Reader, most int) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for len(line) < most {
		n, err := r.Read(one)
		if n > 0 {
			line = append(line, one[0])
			if one[0] == '\n' {
				break
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return string(line), nil
}
