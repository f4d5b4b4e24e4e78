package auth

import "slices"

// The mechanisms in which nobody is asked for a password: the one who is asked
// has proved who he is by his certificate, or the listener lets anybody be one
// user.
const (
	External  = "EXTERNAL"
	Anonymous = "ANONYMOUS"
)

// Admit logs in a user who need not show a password: whoever calls it knows why.
// It returns an Error of kind Refused for one who does not exist, or may not log
// in from where the peer is.
func (v *Verifier) Admit(c Credentials) (Identity, error) {
	err := v.admissible(c.User, c.Peer)
	u, ok := v.o.Directory().User(c.User)
	switch {
	case err == nil && !ok:
		err = refused(c.User, "there is no such user")
	case err == nil && !slices.Contains([]string{External, Anonymous}, c.Mechanism):
		err = &Error{Kind: NoMechanism, Mechanism: c.Mechanism}
	}
	if err != nil {
		v.no.Add(1)
		return Identity{}, err
	}
	return identity(u, c.Mechanism), nil
}
