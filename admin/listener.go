package admin

// Listener is an open address.
type Listener struct {
	Name           string `json:"name"`
	Address        string `json:"address"`
	Connections    int64  `json:"connections"`
	MaxConnections int64  `json:"max_connections"` // of this listener; 0: only the node's limit
	Accepted       int64  `json:"accepted"`        // ever
	// AcceptFailures are connections that the system would not hand over, as for
	// want of descriptors.
	AcceptFailures int64 `json:"accept_failures"`
	// Refused are connections that were not served to their end, by why not.
	Refused map[string]int64 `json:"refused,omitempty"`
}
