package admin

import (
	"context"
	"iter"
)

// Processes are what there is to ask and order about the node's process.
type Processes interface {
	// Overview is Status and what is around it, for those who look after the
	// machine.
	Overview(ctx context.Context) (Overview, error)
	// Settings lists the configuration in force.
	Settings(ctx context.Context, q SettingsQuery) iter.Seq2[Setting, error]
	// Stop has the node stop as a signal does. It does not wait.
	Stop(ctx context.Context, o StopNode) (Done, error)
	// FreeMemory collects what the process does not use any more.
	FreeMemory(ctx context.Context, o FreeMemory) (Done, error)
}

// SettingsQuery asks for the whole configuration.
type SettingsQuery struct{}

// StopNode says why the node is to stop.
type StopNode struct {
	Reason string `json:"reason,omitempty"`
}

// FreeMemory orders a collection.
type FreeMemory struct{}

// Setting is one key of the configuration.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// A Member is a node of the cluster as another sees it.
type Member struct {
	Name string `json:"name"`
	// Running says that the cluster has not noted the end of its life.
	Running bool `json:"running"`
}

// Overview describes a node and its process.
type Overview struct {
	Status
	PID int `json:"pid"`
	// OS and Runtime are those of the program.
	OS         string `json:"os"`
	Runtime    string `json:"runtime"`
	Goroutines int    `json:"goroutines"`
	// Compatible is the version of RabbitMQ whose dialect the node speaks.
	Compatible string `json:"compatible"`
	// Maintenance says that the node serves no clients for now.
	Maintenance bool         `json:"maintenance,omitempty"`
	ConfigFiles []string     `json:"config_files,omitempty"`
	LogFiles    []string     `json:"log_files"`
	Files       Files        `json:"files"`
	Breakdown   []MemoryPart `json:"breakdown"`
	HalfOpen    HalfOpen     `json:"half_open"`
	// Members are the nodes of the cluster by name.
	Members []Member `json:"members"`
	// Alarms are memory and disk, as far as they are up.
	Alarms []string `json:"alarms"`
	// VHostsDown are those with a queue that is not served.
	VHostsDown []string `json:"vhosts_down,omitempty"`
}

// Files are the descriptors of the process; -1 is not known here.
type Files struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}

// MemoryPart is what one use of memory takes.
type MemoryPart struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// HalfOpen counts connections that have not logged in.
type HalfOpen struct {
	Now     int   `json:"now"`
	Most    int   `json:"most"`
	Evicted int64 `json:"evicted"` // closed to make room for others
}
