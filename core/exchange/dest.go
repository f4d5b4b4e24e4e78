package exchange

import "fmt"

// A Dest is a destination of a binding: a queue or an exchange, by id.
type Dest uint64

// A Kind says what a destination is.
type Kind uint8

// The kinds of destinations. The numbers are written to disk.
const (
	Queue Kind = iota
	Exchange
)

const kindShift = 62

// MaxID is the highest id that a Dest can carry.
const MaxID = 1<<kindShift - 1

// ToQueue returns the queue with an id as a destination.
func ToQueue(id uint64) Dest { return Dest(id & MaxID) }

// ToExchange returns the exchange with an id as a destination.
func ToExchange(id uint64) Dest { return Dest(id&MaxID | uint64(Exchange)<<kindShift) }

// Kind says what d is.
func (d Dest) Kind() Kind { return Kind(d >> kindShift) }

// ID returns the id of the queue or exchange.
func (d Dest) ID() uint64 { return uint64(d) & MaxID }

// String returns the form used in tests and logs: queue:7, exchange:9.
func (d Dest) String() string {
	if d.Kind() == Exchange {
		return fmt.Sprintf("exchange:%d", d.ID())
	}
	return fmt.Sprintf("queue:%d", d.ID())
}
