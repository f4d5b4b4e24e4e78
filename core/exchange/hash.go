package exchange

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unsafe"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/pmap"
)

// Arguments of a consistent-hash exchange: what is hashed in place of the
// routing key.
const (
	hashHeaderArg   = "hash-header"
	hashPropertyArg = "hash-property"
)

// MaxWeight is the highest weight that a binding of a consistent-hash exchange
// may have.
const MaxWeight = 1 << 20

// hashProperties are the properties that can be hashed.
func hashProperties() []string { return []string{"message_id", "correlation_id", "timestamp"} }

// Properties gives a message's properties to a hash. The Fields of a message
// may be one, too.
type Properties interface {
	// AppendProperty appends the text of a property, as message_id, to dst;
	// nothing if the message has none.
	AppendProperty(dst []byte, name string) []byte
}

// A hashSource says what of a message is hashed: with both empty, the routing
// key.
type hashSource struct{ header, property string }

func hashSourceOf(args message.Table) (s hashSource) {
	v, _ := args.Lookup(hashHeaderArg)
	s.header, _ = v.Text()
	v, _ = args.Lookup(hashPropertyArg)
	s.property, _ = v.Text()
	return s
}

// CheckExchange reports whether an exchange of type t may have the arguments.
func CheckExchange(t Type, args message.Table) error {
	if t != ConsistentHash {
		return nil
	}
	header, hasHeader := args.Lookup(hashHeaderArg)
	property, hasProperty := args.Lookup(hashPropertyArg)
	if hasHeader && hasProperty {
		return errors.New("hash-header and hash-property are mutually exclusive")
	}
	if text, ok := header.Text(); hasHeader && (!ok || text == "") {
		return errors.New("hash-header is not the name of a header")
	}
	if text, _ := property.Text(); hasProperty && !slices.Contains(hashProperties(), text) {
		return fmt.Errorf("unsupported property: %s", text)
	}
	return nil
}

// A WeightError says that the key of a binding of a consistent-hash exchange is
// no weight.
type WeightError struct{ Key string }

func (e *WeightError) Error() string {
	n, err := strconv.ParseInt(e.Key, 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return fmt.Sprintf("The binding key must be an integer: %.64q", e.Key)
	case err == nil && n < 1:
		return "The binding key must be greater than 0"
	}
	return fmt.Sprintf("The binding key must be at most %d", MaxWeight)
}

// weightOf reads a binding key.
func weightOf(key string) (uint64, error) {
	n, err := strconv.ParseUint(key, 10, 64)
	if err != nil || n < 1 || n > MaxWeight {
		return 0, &WeightError{Key: key}
	}
	return n, nil
}

// A share of a ring is a destination with the weights of all its bindings.
type share struct {
	dest   Dest
	mixed  uint64 // of dest
	weight float64
}

// withShare returns the ring with weight more (or less) for d; it is sorted by
// destination. The ring itself is shared and not changed.
func withShare(ring []share, d Dest, weight float64) []share {
	i, had := slices.BinarySearchFunc(ring, d, func(s share, d Dest) int { return cmp.Compare(s.dest, d) })
	out := make([]share, 0, len(ring)+1)
	out = append(out, ring[:i]...)
	if had {
		weight += ring[i].weight
		ring = ring[i+1:]
	} else {
		ring = ring[i:]
	}
	if weight > 0 {
		out = append(out, share{dest: d, mixed: Scatter(uint64(d)), weight: weight})
	}
	return append(out, ring...)
}

// choose returns the destination that a hash belongs to. Each destination draws
// a number from the hash alone, and the one with the lowest number for its
// weight has it: so a binding that comes takes its share from all others alike,
// one that goes leaves its share to them, and nothing else moves. It says the
// same on every node and after every restart.
func choose(ring []share, sum uint64) Dest {
	var best *share
	var drawn uint64 // by best
	var lowest float64
	known := false // lowest is best's cost
	for i := range ring {
		s := &ring[i]
		x := Scatter(sum ^ s.mixed)
		switch {
		case best == nil:
		case s.weight == best.weight: // as most are: no need of a logarithm
			if x <= drawn {
				continue
			}
		default:
			if !known {
				lowest, known = cost(drawn, best.weight), true
			}
			c := cost(x, s.weight)
			if c < lowest {
				best, drawn, lowest = s, x, c
			}
			continue
		}
		best, drawn, known = s, x, false
	}
	return best.dest
}

// cost is the lower the greater the number drawn and the weight: an exponential
// distribution, of which the lowest is each one's with the probability of its
// weight.
func cost(drawn uint64, weight float64) float64 {
	u := (float64(drawn>>11) + 0.5) / (1 << 53) // in (0, 1)
	return -math.Log(u) / weight
}

// Scatter makes each bit of a number depend on all.
func Scatter(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// sum returns the hash of what t's exchange hashes of a message.
func (t *Table) sum(r *Router, key []byte, headers Fields) uint64 {
	r.text = r.text[:0]
	switch {
	case t.source.header != "":
		if headers != nil {
			r.headers = headers.AppendFields(r.headers[:0])
		}
		for i := range r.headers {
			if string(r.headers[i].Name) == t.source.header {
				r.text = appendHashed(r.text, r.headers[i].Value)
				break
			}
		}
		clear(r.headers)
		r.headers = r.headers[:0]
	case t.source.property != "":
		if p, ok := headers.(Properties); ok {
			r.text = p.AppendProperty(r.text, t.source.property)
		}
	default:
		return sumOf(key)
	}
	return sumOf(r.text)
}

func sumOf(b []byte) uint64 {
	return Scatter(pmap.Sum(unsafe.String(unsafe.SliceData(b), len(b))))
}

// appendHashed appends what a value is hashed by: numbers by value, so that
// their width does not matter.
func appendHashed(dst []byte, v message.Value) []byte {
	if n, ok := v.Int(); ok {
		return binary.AppendVarint(append(dst, 'i'), n)
	}
	if b := v.Bytes(); b != nil {
		return append(dst, b...)
	}
	return message.AppendValue(dst, v)
}
