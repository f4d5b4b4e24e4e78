package auth

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/xdg-go/scram"
)

// scramServer is a SCRAM exchange (RFC 5802, RFC 7677). A user who does not
// exist, or has no verifiers, gets a made-up salt, always the same, and fails
// where a wrong password fails.
type scramServer struct {
	v         *Verifier
	name      string // of the record's section
	mechanism string
	peer      netip.AddrPort
	conv      *scram.ServerConversation

	user    User
	known   bool
	err     error // what looking the user up found wrong
	stepped int
}

func (v *Verifier) newScram(name, mechanism string, peer netip.AddrPort) (*scramServer, error) {
	nonce := make([]byte, 24)
	if _, err := io.ReadFull(v.o.Rand, nonce); err != nil {
		return nil, fmt.Errorf("auth: choose a nonce: %w", err)
	}
	s := &scramServer{v: v, name: name, mechanism: mechanism, peer: peer}
	server, err := scramHash(name).NewServer(s.lookup)
	if err != nil {
		return nil, fmt.Errorf("auth: begin %s: %w", mechanism, err)
	}
	text := base64.RawStdEncoding.EncodeToString(nonce)
	s.conv = server.WithNonceGenerator(func() string { return text }).NewConversation()
	return s, nil
}

// maxScramMessage bounds what is parsed.
const maxScramMessage = 4096

// Step implements Conversation.
func (s *scramServer) Step(ctx context.Context, response []byte) (Step, error) {
	s.stepped++
	st, err := s.step(ctx, response)
	if err != nil {
		s.stepped = 2 // nothing comes after an error
	}
	if KindOf(err) == Refused {
		s.v.no.Add(1)
	}
	return st, err
}

func (s *scramServer) step(ctx context.Context, response []byte) (Step, error) {
	switch {
	case s.stepped > 2:
		return Step{}, malformed(s.mechanism, "the exchange is over")
	case len(response) > maxScramMessage:
		return Step{}, malformed(s.mechanism, "the message is too long")
	case s.stepped == 1:
		return s.first(response)
	}
	return s.final(ctx, response)
}

func (s *scramServer) first(response []byte) (Step, error) {
	answer, err := s.conv.Step(string(response))
	if s.err != nil {
		return Step{}, s.err
	}
	if err != nil {
		return Step{}, malformed(s.mechanism, "bad first message")
	}
	if a := s.conv.AuthzID(); a != "" && a != s.conv.Username() {
		return Step{}, refused(s.conv.Username(), "may not act as another")
	}
	return Step{Challenge: []byte(answer)}, nil
}

func (s *scramServer) final(ctx context.Context, response []byte) (Step, error) {
	from := s.v.source(s.user.Name, s.peer)
	if err := s.v.wait(ctx, s.user.Name, from); err != nil {
		return Step{}, err
	}
	answer, err := s.conv.Step(string(response))
	now, there := s.v.o.Directory().User(s.user.Name)
	if err != nil || !s.conv.Valid() || !s.known || !there || now.Revision != s.user.Revision {
		s.v.slow.failed(from, s.v.o.Clock.Mono())
		return Step{}, refused(s.user.Name, "invalid credentials")
	}
	s.v.slow.succeeded(from)
	return Step{Challenge: []byte(answer), Done: true, Identity: identity(s.user, s.mechanism)}, nil
}

// lookup is called by the conversation with the name in the first message.
func (s *scramServer) lookup(name string) (scram.StoredCredentials, error) {
	if s.err = s.v.admissible(name, s.peer); s.err != nil {
		return scram.StoredCredentials{}, errors.New("auth: not admissible")
	}
	s.user, s.known = s.v.o.Directory().User(name)
	if s.known {
		if c, ok := s.v.record(s.user).scram[s.name]; ok {
			return c, nil
		}
	}
	s.user.Name, s.known = name, false
	return s.v.fakeScram(s.name, name), nil
}

// fakeScram makes up credentials that nobody can prove. They are a function of
// the name: salts that change would tell who does not exist.
func (v *Verifier) fakeScram(section, user string) scram.StoredCredentials {
	derive := func(what string) []byte {
		m := hmac.New(scramHash(section), []byte(v.o.SaltKey.Reveal()))
		_, _ = io.WriteString(m, what+"\x00"+section+"\x00"+user)
		return m.Sum(nil)
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(derive("salt")[:saltSize]), Iters: scramIters},
		StoredKey:  derive("stored"),
		ServerKey:  derive("server"),
	}
}
