package listener

import "sync/atomic"

// A reason is why a connection was not served to its end.
type reason uint8

const (
	noReason         reason = iota
	overNode                // limits.max_connections
	overListener            // the listener's own limit
	overHalfOpen            // too many had not logged in, and this peer had most of them
	evictedHalfOpen         // closed to make room for others
	untrustedProxy          // reached by another way than through a trusted proxy
	wrongProxyHeader        // a header of the PROXY protocol is wrong or missing
	foreignProtocol         // spoke something that is not served here
	failedTLS               // the handshake, or the certificate
	overBudget              // too many bytes or too long before login
	reasons                 // how many there are
)

// String returns the name under which it is counted.
func (r reason) String() string {
	return [reasons]string{
		"", "max_connections", "max_connections_of_listener", "max_half_open", "made_room",
		"untrusted_proxy", "proxy_header", "protocol", "tls", "login_budget",
	}[r]
}

// A tally counts refusals by their reason.
type tally [reasons]atomic.Int64

func (t *tally) add(r reason) { t[r].Add(1) }

// counts returns what is not zero.
func (t *tally) counts() map[string]int64 {
	m := map[string]int64{}
	for r := range reasons {
		if n := t[r].Load(); n > 0 && r != noReason {
			m[r.String()] = n
		}
	}
	return m
}
