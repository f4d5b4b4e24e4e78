package catalog

// A Code says what a command did.
type Code uint8

// The codes.
const (
	Done      Code = iota // it changed the catalog
	Existed               // there was nothing to change; what was asked for holds
	NotFound              // Missing names what is not there
	Different             // the object exists with other properties: Mismatch
	Locked                // the queue belongs to another session
	InUse                 // the condition of a conditional ending does not hold
	Refused               // the object may not be changed so
	Invalid               // the command's arguments make no sense together
	OverLimit             // Limit, on the number of such objects, is reached
	Double                // the marked command had come before; nothing was done
	Gap                   // a marked command before this one is missing; nothing was done
	Ended                 // the mark's incarnation has ended; nothing was done
)

// String returns the code's name.
func (c Code) String() string {
	return [...]string{"done", "existed", "not found", "different", "locked", "in use", "refused", "invalid", "over limit", "double", "gap", "ended"}[c]
}

// A Thing names a kind of object.
type Thing uint8

// The things a command may miss.
const (
	NoThing Thing = iota
	ANode
	AnIncarnation
	AShard
	AVHost
	AUser
	APermission
	AnExchange
	AQueue
	ABinding
	APolicy
	AParameter
	AnIntent
)

// String returns the thing's name.
func (t Thing) String() string {
	return [...]string{"", "node", "incarnation", "shard", "vhost", "user", "permission", "exchange", "queue", "binding", "policy", "parameter", "intent"}[t]
}

// A Result is the outcome of one command.
type Result struct {
	Code     Code
	Missing  Thing
	Mark     Mark   // of the command
	Revision uint64 // of the catalog, after the command
	// ID is the id or number of the object that was made or found.
	ID       uint64
	Queue    *Queue    // made, found or changed
	Exchange *Exchange // made or found
	Mismatch *Mismatch
	Text     string // why it was refused
	Limit    uint64 // that is reached
	Overall  bool   // Limit is the cluster's, not the vhost's
	Governed Affected
	Removed  Removed
}

// Affected names the objects that have another policy than before, or a policy
// with another content.
type Affected struct {
	Queues    []*Queue
	Exchanges []*Exchange
}

// Removed names exactly what a command took away.
type Removed struct {
	Queues       []*Queue
	Exchanges    []*Exchange
	Bindings     []Bound
	Incarnations []*Incarnation
	VHosts       []*VHost // with their permissions, policies and parameters
	Users        []*User  // with their permissions
}
