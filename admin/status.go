package admin

import (
	"context"
	"time"
)

// Statuses describe the node itself.
type Statuses interface {
	// Status describes the node as it is now. It takes no lock that traffic
	// waits for, and answers in bounded time however busy the node is.
	Status(ctx context.Context) (Status, error)
	// Identity names the node; it costs nothing.
	Identity(ctx context.Context) (Identity, error)
}

// Identity names a node and its process.
type Identity struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
	// State is whether the node runs within the process; empty: it does.
	State AppState `json:"state,omitempty"`
}

// Status describes a node.
type Status struct {
	Node    string    `json:"node"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// UptimeSeconds is counted by the node's own monotonic clock.
	UptimeSeconds int64  `json:"uptime_seconds"`
	DataDir       string `json:"data_dir"`
	// Addresses are the open listeners by name.
	Addresses map[string]string `json:"addresses"`
	Listeners []Listener        `json:"listeners"`
	Counts    Counts            `json:"counts"`
	Memory    Memory            `json:"memory"`
	Disk      Disk              `json:"disk"`
	Shards    []Shard           `json:"shards"`
	// Limiting says in words what holds clients back now, the most pressing
	// first, each with how to raise it. Empty: nothing does.
	Limiting []string `json:"limiting"`
}

// Counts are how many of everything there are.
type Counts struct {
	VHosts      int64 `json:"vhosts"`
	Exchanges   int64 `json:"exchanges"`
	Bindings    int64 `json:"bindings"`
	Queues      int64 `json:"queues"`
	Connections int64 `json:"connections"`
	Channels    int64 `json:"channels"`
	Consumers   int64 `json:"consumers"`
	Ready       int64 `json:"messages_ready"`
	Unacked     int64 `json:"messages_unacked"`
}

// Memory is in bytes.
type Memory struct {
	Used   int64 `json:"used"`   // what Go holds
	Budget int64 `json:"budget"` // memory.budget
	// Live is what was found in use last; above HighWatermark publishers wait.
	Live          int64 `json:"live"`
	HighWatermark int64 `json:"high_watermark"`
	// Entries are bodies of messages in queues in memory.
	Entries int64 `json:"entries"`
	// EntriesLimit is the half of memory.entries that is for queues in memory.
	EntriesLimit int64 `json:"entries_limit"`
}

// Disk is in bytes.
type Disk struct {
	Log   int64 `json:"log"`
	State int64 `json:"state"`
	Free  int64 `json:"free"`
	// FreeLimit is what has to be free; with less publishers wait.
	FreeLimit int64 `json:"free_limit"`
	// Segments are the files of the log.
	Segments int64 `json:"segments"`
}

// Shard is one shard that this node holds a replica of.
type Shard struct {
	ID       uint64   `json:"id"`
	Kind     string   `json:"kind"` // "catalog" or "queues"
	Leader   string   `json:"leader"`
	Replicas []string `json:"replicas"`
	Term     uint64   `json:"term"`
	Commit   uint64   `json:"commit"`
	Applied  uint64   `json:"applied"`
	LogBytes int64    `json:"log_bytes"`
	Queues   int64    `json:"queues"`
	Messages int64    `json:"messages"`
	// Refused says what acknowledged data the shard lost: it serves nothing.
	// Empty: it is whole.
	Refused string `json:"refused,omitempty"`
}
