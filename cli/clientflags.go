package cli

import (
	"time"

	"github.com/spf13/cobra"
)

// clientFlags are those of every verb that connects to a broker.
type clientFlags struct {
	brokerURL, user, password string
	patient                   time.Duration
}

func (f *clientFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.brokerURL, "brokerUrl", "discovery:local", "`URL`: amqp://HOST:PORT/VHOST, tcp://HOST:PORT, several with commas, failover:(…), or discovery:… for the node here")
	c.Flags().StringVar(&f.user, "user", "guest", "`NAME` to log in with")
	c.Flags().StringVar(&f.password, "password", "guest", "`PASSWORD` to log in with")
	c.Flags().DurationVar(&f.patient, "reconnect-for", time.Minute, "how long to go on trying when no broker answers")
}

// connector makes what the verb connects by. What the URL says of user and
// password counts unless a flag says otherwise.
func (f *clientFlags) connector(a *App, c *cobra.Command) (*connector, error) {
	u, err := parseBrokerURL(f.brokerURL, a.localAddrs)
	if err != nil {
		return nil, err
	}
	who := login{f.user, f.password}
	if u.login.User != "" && !c.Flags().Changed("user") && !c.Flags().Changed("password") {
		who = u.login
	}
	return &connector{dial: a.Dial, url: u, who: who, patient: f.patient, log: a.Stderr}, nil
}

// again returns a connector of its own for a second connection.
func (c *connector) again() *connector {
	n := *c
	n.next, n.connected = 0, false
	return &n
}
