package admin

import "encoding/json"

// An Argument is a named value of a declaration, a binding or a client's
// properties, in the order it came.
type Argument struct {
	Name string `json:"name"`
	Value
}

// A Value is one typed value. Which field is set follows from the type.
type Value struct {
	// Type is AMQP 0-9-1's name as RabbitMQ's tools print it: longstr,
	// signedint, long, bool, double, table, array and so on.
	Type   string      `json:"type"`
	Text   string      `json:"text,omitempty"`
	Number json.Number `json:"number,omitempty"` // bool: 0 or 1
	Table  []Argument  `json:"table,omitempty"`
	List   []Value     `json:"list,omitempty"`
}
