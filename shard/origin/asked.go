package origin

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
)

// Asked is a request without an answer. All of them may be asked again: a get
// whose answer was lost gave what it took back, and what ends is ended twice.
type asked struct {
	id    uint64
	r     shard.Request
	since time.Duration
	void  bool // nobody waits for the answer
}

// Ask keeps a request until it is answered, and returns its number.
func (o *Origin) Ask(now time.Duration, r shard.Request) uint64 {
	o.askNo++
	o.asked = append(o.asked, asked{id: o.askNo, r: r, since: now})
	return o.askNo
}

// Asked calls f for every request without an answer, in order: they have to be
// asked again after the next report.
func (o *Origin) Asked(f func(id uint64, r *shard.Request)) {
	for i := range o.asked {
		f(o.asked[i].id, &o.asked[i].r)
	}
}

// answered takes a request that is answered.
func (o *Origin) answered(id uint64, kinds ...shard.RequestKind) (a asked, ok bool) {
	i := slices.IndexFunc(o.asked, func(a asked) bool { return a.id == id })
	if i < 0 || !slices.Contains(kinds, o.asked[i].r.Kind) {
		return a, false
	}
	a = o.asked[i]
	o.asked = slices.Delete(o.asked, i, i+1)
	return a, true
}

// Consumed takes the answer to ReqConsume. If it reports false nobody waits for
// the consumer any more, and it has to be cancelled.
func (o *Origin) Consumed(id uint64, err error) bool {
	a, ok := o.answered(id, shard.ReqConsume)
	switch {
	case !ok:
		return true
	case a.void:
		return err != nil
	case err == nil:
		o.consumers[a.r.Consumer.ID] = a.r.Consumer
	}
	a.r.Done(err)
	return true
}

// Told takes the answer to ReqCancel and ReqReopen.
func (o *Origin) Told(id uint64, err error) {
	if a, ok := o.answered(id, shard.ReqCancel, shard.ReqReopen); ok && !a.void {
		a.r.Done(err)
	}
}

// Numbered takes the answer to ReqPurge and ReqClose.
func (o *Origin) Numbered(id, n uint64, err error) {
	if a, ok := o.answered(id, shard.ReqPurge, shard.ReqClose); ok {
		a.r.DoneN(n, err)
	}
}

// Counted takes the answer to ReqCounts.
func (o *Origin) Counted(id uint64, c shard.Counts, err error) {
	if a, ok := o.answered(id, shard.ReqCounts); ok {
		a.r.Counts(c, err)
	}
}

// Taken takes the answer to ReqGet, from the leader of a term. It reports false
// if nobody waits for it: what was taken has to be given back, with Stray.
func (o *Origin) Taken(id, term uint64, g shard.GetResult, err error) bool {
	if term < o.term {
		return true // void: it is asked again
	}
	a, ok := o.answered(id, shard.ReqGet)
	if !ok {
		return false
	}
	if err == nil && !g.Empty {
		o.Got(a.r.Queue, a.r.Session, &g.Delivery)
	}
	a.r.DoneGet(g, err)
	return true
}

// Cancel ends a consumer, or its registration, and answers the request at once.
// What it returns is to be sent: settles under a number, if there are any, and
// then the request, under its id, if that is not 0; it has to be asked like any
// other.
func (o *Origin) Cancel(now time.Duration, r shard.Request) (id, number uint64, ss []shard.Settle) {
	c, done, all := r.Consumer, r.Done, r.End
	r.Done, r.End = func(error) {}, false
	i := slices.IndexFunc(o.asked, func(a asked) bool { return a.r.Kind == shard.ReqConsume && a.r.Consumer == c && !a.void })
	switch {
	case i >= 0:
		o.asked[i].void = true
		o.asked[i].r.Done(shard.ErrGone)
	case o.consumers[c.ID] == c:
		number, ss = o.End(c, all)
		// Whoever leads next knows it until it is told of its end: this node too.
		ended := *c
		ended.Shared = nothing{}
		r.Consumer = &ended
		id = o.Ask(now, r)
	}
	done(nil)
	return id, number, ss
}

// nothing is the credit of a consumer that has ended.
type nothing struct{}

// Take implements queue.Credit.
func (nothing) Take() bool { return false }

// Park keeps requests until somebody leads, and answers those that need nobody.
func (o *Origin) Park(now time.Duration, rs []shard.Request) {
	for i := range rs {
		switch r := rs[i]; r.Kind {
		case shard.ReqSettle:
			o.Committed(r.Done)
		case shard.ReqCancel:
			o.Cancel(now, r)
		case shard.ReqRun, shard.ReqLetters:
			refuse(&r, shard.ErrUnavailable)
		case shard.ReqKick, shard.ReqLeft:
		default:
			o.Ask(now, r)
		}
		rs[i] = shard.Request{}
	}
}

// Refuse answers all requests: nobody can be asked.
func (o *Origin) Refuse() { o.refuseIf(func(*asked) bool { return true }) }

// Expire answers the requests that have waited too long for a leader. It is
// called in turns without one.
func (o *Origin) Expire(now time.Duration) {
	o.refuseIf(func(a *asked) bool { return now-a.since >= patience })
}

func (o *Origin) refuseIf(f func(*asked) bool) {
	o.asked = slices.DeleteFunc(o.asked, func(a asked) bool {
		if a.r.Kind == shard.ReqCancel || !f(&a) {
			return false
		}
		if !a.void {
			refuse(&a.r, shard.ErrUnavailable)
		}
		return true
	})
}

// refuse answers a request with an error.
func refuse(r *shard.Request, err error) {
	switch r.Kind {
	case shard.ReqConsume, shard.ReqCancel, shard.ReqReopen, shard.ReqSettle:
		r.Done(err)
	case shard.ReqGet:
		r.DoneGet(shard.GetResult{}, err)
	case shard.ReqPurge, shard.ReqClose:
		r.DoneN(r.N, err)
	case shard.ReqCounts:
		r.Counts(shard.Counts{}, err)
	case shard.ReqLetters:
		r.DoneLetters(shard.LettersResult{}, err)
	case shard.ReqRun:
		r.Run()
	}
}
