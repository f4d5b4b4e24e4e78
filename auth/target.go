package auth

// Operation is one of the three things a permission speaks of.
type Operation uint8

// The operations. What each verb of a protocol needs stands on that protocol's
// page.
const (
	Configure Operation = iota + 1
	Write
	Read
)

// String returns the operation as messages and commands have it.
func (o Operation) String() string {
	switch o {
	case Configure:
		return "configure"
	case Write:
		return "write"
	case Read:
		return "read"
	}
	return "no"
}

// Kind is what a permission can be about.
type Kind uint8

// The kinds.
const (
	Exchange Kind = iota + 1
	Queue
)

// String returns the kind as messages have it.
func (k Kind) String() string {
	switch k {
	case Exchange:
		return "exchange"
	case Queue:
		return "queue"
	}
	return "thing"
}

// DefaultExchange is the name under which permissions see the exchange without
// a name.
const DefaultExchange = "amq.default"

// pattern returns the pattern that decides op; false for an unknown one.
func (p Permission) pattern(op Operation) (string, bool) {
	switch op {
	case Configure:
		return p.Configure, true
	case Write:
		return p.Write, true
	case Read:
		return p.Read, true
	}
	return "", false
}

func (p TopicPermission) pattern(op Operation) (string, bool) {
	switch op {
	case Write:
		return p.Write, true
	case Read:
		return p.Read, true
	}
	return "", false
}
