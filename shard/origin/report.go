package origin

import (
	"cmp"
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
)

// chunk bounds the consumers and the claims of one Attachment.
const chunk = 1024

// Report returns what this node attaches with to the leader of a term, in
// chunks: its consumers, those included whose end the leader has not
// acknowledged, and what its sessions hold or have settled. From now on what a
// leader of an older term sends is void. Behind the end of the report follow, in
// this order: Unsettled, Asked; and what Next returns after Rewind, before or
// between them.
func (o *Origin) Report(term uint64) []shard.Attachment {
	o.term = max(o.term, term)
	cs, claims := o.Consumers(), o.claims()
	for i := range o.asked {
		if r := &o.asked[i].r; r.Kind == shard.ReqCancel {
			cs = append(cs, r.Consumer)
		}
	}
	var out []shard.Attachment
	for {
		a := shard.Attachment{From: o.inc, Begin: len(out) == 0}
		n := min(len(cs), chunk)
		a.Consumers, cs = cs[:n], cs[n:]
		if len(cs) == 0 {
			n = min(len(claims), chunk)
			a.Claims, claims = claims[:n], claims[n:]
			a.End = len(claims) == 0
		}
		out = append(out, a)
		if a.End {
			return out
		}
	}
}

// claims lists what is held or settled, by queue and sequence.
func (o *Origin) claims() (out []shard.Claim) {
	for q, m := range o.held {
		for seq, x := range m {
			out = append(out, shard.Claim{Queue: q, Seq: seq, Holding: x.holding, Size: x.size, Acquired: x.acquired, Session: x.session, Consumer: x.consumer})
		}
	}
	for i := range o.groups {
		for k, s := range o.groups[i].settles {
			out = append(out, shard.Claim{Queue: s.Queue, Seq: s.Seq, Holding: s.Holding, Size: s.Size, Acquired: s.Acquired, Session: o.groups[i].holders[k]})
		}
	}
	slices.SortFunc(out, func(a, b shard.Claim) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Holding.Epoch, b.Holding.Epoch),
			cmp.Compare(a.Holding.Term, b.Holding.Term), cmp.Compare(a.Holding.Counter, b.Holding.Counter))
	})
	return latest(out)
}

// latest keeps the last claim of each message. That it was given to this node
// again proves that what was settled before is done, though nobody has said so: a
// claim to the earlier holding would keep out the one that counts.
func latest(cs []shard.Claim) []shard.Claim {
	out := cs[:0]
	for i, c := range cs {
		if i+1 == len(cs) || cs[i+1].Queue != c.Queue || cs[i+1].Seq != c.Seq {
			out = append(out, c)
		}
	}
	return out
}

// Attached takes the answer to a chunk of the report; end says that it was the
// last one.
func (o *Origin) Attached(a *shard.Attached, end bool) {
	for _, id := range a.Consumers {
		o.Cancelled(id)
	}
	for _, c := range a.Refused {
		if m := o.held[c.Queue]; m[c.Seq].holding == c.Holding {
			delete(m, c.Seq)
		}
	}
	if end {
		o.term = max(o.term, a.Term)
	}
}

// Holdings is what a replica hands over when it loses the lead.
type Holdings struct {
	Consumers []*shard.Consumer
	Claims    []shard.Claim
	// Settles were decided and are not known to be committed; Done waits for
	// that.
	Settles []shard.Settle
	Done    []func(error)
	// Requests are not answered.
	Requests []shard.Request
}

// Hold takes over what this node's sessions have in a shard that it leads no
// more. Yield has emptied the origin before.
func (o *Origin) Hold(now time.Duration, h Holdings) {
	o.handed.Add(1)
	for _, c := range h.Consumers {
		o.consumers[c.ID] = c
	}
	for _, c := range h.Claims {
		o.heldIn(c.Queue)[c.Seq] = claim{c.Holding, c.Session, c.Consumer, c.Size, c.Acquired}
	}
	if len(h.Settles) > 0 {
		o.keep(h.Settles, nil)
	}
	for _, f := range h.Done {
		o.Committed(f)
	}
	for i := range h.Requests {
		o.Ask(now, h.Requests[i])
	}
}

// Yield empties the origin but for its batches, which are all to be sent again:
// the replica leads, and attaches with the reports before.
func (o *Origin) Yield(term uint64) (h Holdings) {
	for i := range o.groups {
		h.Settles = append(h.Settles, o.groups[i].settles...)
		h.Done = append(h.Done, o.groups[i].done...)
	}
	for i := range o.asked {
		if a := &o.asked[i]; !a.void {
			h.Requests = append(h.Requests, a.r)
		}
	}
	clear(o.consumers)
	clear(o.held)
	o.groups, o.asked, o.term = nil, nil, term
	o.Led()
	o.Rewind()
	return h
}
