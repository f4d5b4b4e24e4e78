package message

import (
	"fmt"
	"slices"
)

// A Death is how often a message died in a queue for one reason.
type Death struct {
	Queue, Reason string
	Exchange      string   // where it was published before it first died so
	Keys          []string // with which routing keys, without hidden ones
	Count         uint64
	Time          int64 // of the first, in milliseconds since 1970
	// TTL is the expiration that it lost, in milliseconds, if HasTTL.
	TTL    uint64
	HasTTL bool
	// First says that the message never died before.
	First bool
}

// Deaths are the history of a message, the latest first: one for each queue and
// reason.
type Deaths []Death

// maxDeaths bounds the history: what is older is forgotten, but for the first.
const maxDeaths = 128

// Add returns the history with a death more. Died so before, it counts one more
// and comes to the front. It reuses the memory of ds.
func (ds Deaths) Add(d Death) Deaths {
	i := 0
	for i < len(ds) && (ds[i].Queue != d.Queue || ds[i].Reason != d.Reason) {
		i++
	}
	if i < len(ds) {
		d = ds[i]
		d.Count++
	} else {
		d.Count, d.First = 1, len(ds) == 0
		if len(ds) == maxDeaths {
			oldest := len(ds) - 1
			if ds[oldest].First {
				oldest--
			}
			ds = slices.Delete(ds, oldest, oldest+1)
		}
		ds = append(ds, d)
		i = len(ds) - 1
	}
	copy(ds[1:i+1], ds[:i])
	ds[0] = d
	return ds
}

// Cycle reports whether a message with this history would come back to a queue
// without anybody having rejected it on its way.
func (ds Deaths) Cycle(queue, rejected string) bool {
	for i := range ds {
		if ds[i].Reason == rejected {
			return false
		}
		if ds[i].Queue == queue {
			return true
		}
	}
	return false
}

// The fields of a death in its table.
const (
	deathQueue    = "queue"
	deathReason   = "reason"
	deathExchange = "exchange"
	deathKeys     = "routing-keys"
	deathCount    = "count"
	deathTime     = "time"
	deathTTL      = "original-expiration"
	deathFirst    = "first"
)

// AppendDeaths appends the payload of OverlayDeaths.
func AppendDeaths(dst []byte, ds Deaths) []byte {
	var t Table
	for i := range ds {
		d := &ds[i]
		t = slices.Grow(t[:0], 128+len(d.Queue)+len(d.Exchange))
		t = AppendField(t, deathQueue, StringOf(d.Queue))
		t = AppendField(t, deathReason, StringOf(d.Reason))
		t = AppendField(t, deathExchange, StringOf(d.Exchange))
		t = AppendField(t, deathKeys, BytesOf(List, appendTexts(nil, d.Keys)))
		t = AppendField(t, deathCount, UintOf(Uint64, d.Count))
		t = AppendField(t, deathTime, IntOf(Timestamp, d.Time))
		if d.HasTTL {
			t = AppendField(t, deathTTL, UintOf(Uint64, d.TTL))
		}
		if d.First {
			t = AppendField(t, deathFirst, BoolOf(true))
		}
		dst = AppendValue(dst, TableOf(t))
	}
	return dst
}

func appendTexts[S string | []byte](dst []byte, texts []S) []byte {
	for _, s := range texts {
		dst = AppendValue(dst, BytesOf(String, []byte(s)))
	}
	return dst
}

// Deaths returns the history of the message.
func (m *Message) Deaths() (ds Deaths, err error) {
	data, _ := m.Overlaid(OverlayDeaths)
	for len(data) > 0 {
		var v Value
		if v, data, err = ReadValue(data); err != nil {
			return nil, fmt.Errorf("deaths: %w", err)
		}
		t, ok := v.Table()
		if !ok || t.Check() != nil {
			return nil, fmt.Errorf("deaths: %w: no table", ErrValue)
		}
		ds = append(ds, death(t))
	}
	return ds, nil
}

func death(t Table) (d Death) {
	for name, v := range t.All() {
		switch name {
		case deathQueue:
			d.Queue, _ = v.Text()
		case deathReason:
			d.Reason, _ = v.Text()
		case deathExchange:
			d.Exchange, _ = v.Text()
		case deathKeys:
			for _, k := range v.Values(nil) {
				s, _ := k.Text()
				d.Keys = append(d.Keys, s)
			}
		case deathCount:
			d.Count, _ = v.Uint()
		case deathTime:
			d.Time = v.Num()
		case deathTTL:
			d.TTL, d.HasTTL = v.Uint()
		case deathFirst:
			d.First = v.Bool()
		}
	}
	return d
}

// AppendCopies appends an OverlayCopies record: the routing keys beside the
// message's own, those that its receivers see and those that they do not.
func AppendCopies(dst []byte, shown, hidden [][]byte) []byte {
	payload := AppendValue(nil, BytesOf(List, appendTexts(nil, shown)))
	return AppendOverlay(dst, OverlayCopies, AppendValue(payload, BytesOf(List, appendTexts(nil, hidden))))
}

// Copies returns the routing keys beside the message's own; they alias the
// overlay. ok is false if nothing was said about them.
func (m *Message) Copies() (shown, hidden [][]byte, ok bool) {
	data, ok := m.Overlaid(OverlayCopies)
	if !ok {
		return nil, nil, false
	}
	var lists [2][][]byte
	for i := range lists {
		v, rest, err := ReadValue(data)
		if err != nil {
			return nil, nil, false
		}
		for _, k := range v.Values(nil) {
			lists[i] = append(lists[i], k.Bytes())
		}
		data = rest
	}
	return lists[0], lists[1], true
}
