package admin

import "time"

// An Intent is a change of many steps that was decided and is under way: whichever
// node leads the catalog goes on with it.
type Intent struct {
	Kind    string    `json:"kind"`    // join, forget, reset, drain, grow …
	Subject string    `json:"subject"` // the node, or the shard, that it is about
	Begun   time.Time `json:"begun"`
	// Text says how far it is, for people.
	Text string `json:"text"`
}
