package auth

import (
	"context"
	"net/netip"
	"strings"

	"github.com/warrenmq/warren/internal/secret"
)

// The SASL mechanisms that Begin knows. AMQPLAIN is Authenticate with what the
// protocol read from its table.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// A Conversation is the server's side of one SASL exchange. It ends with an
// error, or with a Step that says done.
type Conversation interface {
	// Step takes the client's next response. Until done, challenge goes to the
	// client; when done, it goes along with the outcome if it is not empty.
	// An error's reply, if any, may go to the client; its text must not.
	Step(ctx context.Context, response []byte) (s Step, err error)
}

// A Step is what the server answers.
type Step struct {
	Challenge []byte
	Done      bool
	Identity  Identity // when Done
}

// Begin starts a conversation with a peer. The listener decides which
// mechanisms it offers; of those not known here the error is NoMechanism.
func (v *Verifier) Begin(mechanism string, peer netip.AddrPort) (Conversation, error) {
	switch mechanism {
	case Plain:
		return &plain{v: v, peer: peer}, nil
	case ScramSHA256:
		return v.newScram(scram256Name, mechanism, peer)
	case ScramSHA512:
		return v.newScram(scram512Name, mechanism, peer)
	}
	return nil, &Error{Kind: NoMechanism, Mechanism: mechanism}
}

type plain struct {
	v    *Verifier
	peer netip.AddrPort
	over bool
}

func (p *plain) Step(ctx context.Context, response []byte) (Step, error) {
	if p.over {
		return Step{}, malformed(Plain, "the exchange is over")
	}
	p.over = true
	c, err := ParsePlain(response)
	if err != nil {
		return Step{}, err
	}
	c.Peer = p.peer
	id, err := p.v.Authenticate(ctx, c)
	if err != nil {
		return Step{}, err
	}
	return Step{Done: true, Identity: id}, nil
}

// ParsePlain takes apart authzid NUL user NUL password. Who one wants to act
// as is ignored, as RabbitMQ does.
func ParsePlain(response []byte) (Credentials, error) {
	parts := strings.Split(string(response), "\x00")
	if len(parts) != 3 {
		return Credentials{}, malformed(Plain, "not three texts")
	}
	return Credentials{User: parts[1], Password: secret.New(parts[2]), Mechanism: Plain}, nil
}

func malformed(mechanism, why string) error {
	return &Error{Kind: Malformed, Mechanism: mechanism, Why: why}
}
