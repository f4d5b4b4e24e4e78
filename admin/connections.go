package admin

import (
	"context"
	"iter"
)

// Connections are what there is to ask and order about open connections.
type Connections interface {
	// Connections lists the open connections by their age.
	Connections(ctx context.Context, q ConnectionQuery) iter.Seq2[Connection, error]
	// Channels lists their channels.
	Channels(ctx context.Context, q ConnectionQuery) iter.Seq2[Channel, error]
	// Consumers lists the consumers of the queues of a vhost.
	Consumers(ctx context.Context, q VHostQuery) iter.Seq2[Consumer, error]
	// CloseConnections ends connections, telling their clients why. It does not
	// wait until they are gone.
	CloseConnections(ctx context.Context, o CloseConnections) (Closed, error)
}

// ConnectionQuery says which connections; the zero value all of them.
type ConnectionQuery struct {
	VHost string `json:"vhost,omitempty"`
	User  string `json:"user,omitempty"`
}

// CloseConnections says which connections go, and why: the one of a pid, or
// those of a vhost or a user, or all.
type CloseConnections struct {
	PID    string `json:"pid,omitempty"`
	VHost  string `json:"vhost,omitempty"`
	User   string `json:"user,omitempty"`
	All    bool   `json:"all,omitempty"`
	Reason string `json:"reason"`
	// Limit is how many go at most, 0 for no limit.
	Limit int `json:"limit,omitempty"`
}

// Closed counts the connections that were told to go.
type Closed struct {
	Connections int `json:"connections"`
}

// Connection is an open connection.
type Connection struct {
	PID              string     `json:"pid"`
	Name             string     `json:"name"` // its two ends
	ClientName       string     `json:"client_name,omitempty"`
	User             string     `json:"user"`
	VHost            string     `json:"vhost"`
	Protocol         string     `json:"protocol"`
	Listener         string     `json:"listener"`
	AuthMechanism    string     `json:"auth_mechanism"`
	Host             string     `json:"host"`
	Port             int        `json:"port"`
	PeerHost         string     `json:"peer_host"`
	PeerPort         int        `json:"peer_port"`
	State            string     `json:"state"`
	TLS              bool       `json:"tls"`
	TLSVersion       string     `json:"tls_version,omitempty"`
	TLSCipher        string     `json:"tls_cipher,omitempty"`
	PeerCertSubject  string     `json:"peer_cert_subject,omitempty"`
	PeerCertIssuer   string     `json:"peer_cert_issuer,omitempty"`
	PeerCertValidity string     `json:"peer_cert_validity,omitempty"`
	Channels         int        `json:"channels"`
	HeartbeatSeconds int        `json:"heartbeat_seconds"`
	FrameMax         uint32     `json:"frame_max"`
	ChannelMax       uint16     `json:"channel_max"`
	ClientProperties []Argument `json:"client_properties,omitempty"`
	ReceivedBytes    uint64     `json:"received_bytes"`
	Reads            uint64     `json:"reads"`
	SentBytes        uint64     `json:"sent_bytes"`
	Writes           uint64     `json:"writes"`
	PendingBytes     int64      `json:"pending_bytes"`
	// ConnectedAt is in milliseconds since 1970.
	ConnectedAt int64 `json:"connected_at"`
}

// Channel is a channel of a connection.
type Channel struct {
	PID                 string `json:"pid"`
	Connection          string `json:"connection"` // its pid
	Name                string `json:"name"`
	Number              uint16 `json:"number"`
	User                string `json:"user"`
	VHost               string `json:"vhost"`
	Transactional       bool   `json:"transactional"`
	Confirm             bool   `json:"confirm"`
	Consumers           int    `json:"consumers"`
	Unacked             int    `json:"unacked"`
	Unconfirmed         int    `json:"unconfirmed"`
	UncommittedMessages int    `json:"uncommitted_messages"`
	UncommittedAcks     int    `json:"uncommitted_acks"`
	Prefetch            uint32 `json:"prefetch"`
	GlobalPrefetch      uint32 `json:"global_prefetch"`
}

// Consumer is a consumer of a queue.
type Consumer struct {
	Queue       string     `json:"queue"`
	ChannelPID  string     `json:"channel_pid"`
	Tag         string     `json:"tag"`
	AckRequired bool       `json:"ack_required"`
	Exclusive   bool       `json:"exclusive"`
	Prefetch    uint32     `json:"prefetch"`
	Active      bool       `json:"active"`
	Status      string     `json:"status"` // up, single_active, waiting
	Arguments   []Argument `json:"arguments,omitempty"`
}
