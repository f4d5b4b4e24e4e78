package node

import "errors"

// Why a node does not start, or stops by itself, for those who must tell the
// cases apart. They are found with errors.Is.
var (
	// ErrLocked says that another process uses the data directory.
	ErrLocked = errors.New("the data directory is in use")
	// ErrDataDir says that the data directory cannot be made or used.
	ErrDataDir = errors.New("the data directory is not usable")
	// ErrAddress says that a listener's address cannot be opened.
	ErrAddress = errors.New("an address cannot be opened")
	// ErrIO says that reading or writing the data failed. A node ends then: it
	// confirms nothing it is not sure of.
	ErrIO = errors.New("the data cannot be read or written")
	// ErrForgotten says that the node's cluster has removed it.
	ErrForgotten = errors.New("this node was removed from its cluster")
)
