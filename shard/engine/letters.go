package engine

import (
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// What dies in a queue with a rule for letters goes to its outbox, as long as
// there is room. What its queue's rules end (it expired, or is too many) and has
// no room waits here, neither ready nor held: nothing of that is logged, and
// another leader finds it again. What a consumer ended does not wait, for it is
// going to be told that this is committed: it goes in beyond the room.

const (
	// outboxRoom bounds an outbox, but for the last run that goes in: what the
	// window of an origin can tell apart.
	outboxRoom = queue.OriginWindow
	// lateRoom is how many dead messages may wait, here or in an outbox beyond its
	// room, before the queue refuses what is published.
	lateRoom = 1 << 16
)

// mail is what a queue's leader knows of its letters.
type mail struct {
	late    []late
	lateN   uint64 // messages of late
	posting uint64 // messages named for the outbox and not applied
	handed  uint64 // the number of the letter handed out last
	told    bool   // Posted was called, and Letters has not said that there is none
}

// A late run died and waits for room in the outbox.
type late struct {
	run queue.Run
	why queue.Reason
}

// die takes dead messages out of a queue, or has them wait behind others.
func (e *Engine) die(q *Queue, r queue.Run, why queue.Reason) {
	if consumed := why == queue.Rejected || why == queue.Spent; consumed && q.Settings.Letters == shard.AtLeastOnce && e.Mail != nil {
		e.post(q, r, why)
		return
	}
	if len(q.mail.late) > 0 || !e.takeOut(q, r, why) {
		q.mail.late = append(q.mail.late, late{r, why})
		q.mail.lateN += uint64(r.N)
	}
}

// takeOut takes dead messages out of a queue; false says that they have to wait.
func (e *Engine) takeOut(q *Queue, r queue.Run, why queue.Reason) bool {
	switch {
	case q.Settings.Letters == shard.NoLetters || e.Mail == nil:
		e.Log.Remove(q, r, why)
	case e.room(q):
		e.post(q, r, why)
	case q.Settings.Letters == shard.AtMostOnce:
		e.Mail.Dropped(q.ID, uint64(r.N))
		e.Log.Remove(q, r, why)
	default:
		return false
	}
	return true
}

func (e *Engine) post(q *Queue, r queue.Run, why queue.Reason) {
	q.mail.posting += uint64(r.N)
	e.Log.Post(q, r, why)
}

// clogged reports whether too much that died can not leave.
func (q *Queue) clogged() bool {
	out := q.Ledger.Outbox().Messages + q.mail.posting
	return q.mail.lateN+out-min(out, outboxRoom) >= lateRoom
}

func (e *Engine) room(q *Queue) bool { return e.roomIn(q) > 0 }

// roomIn returns how many messages an outbox takes, but for the last run.
func (e *Engine) roomIn(q *Queue) int {
	return outboxRoom - int(min(q.Ledger.Outbox().Messages+q.mail.posting, outboxRoom))
}

// flushLate takes out what waits, as far as there is room.
func (e *Engine) flushLate(q *Queue) {
	n := 0
	for n < len(q.mail.late) && e.takeOut(q, q.mail.late[n].run, q.mail.late[n].why) {
		q.mail.lateN -= uint64(q.mail.late[n].run.N)
		n++
	}
	if q.mail.late = q.mail.late[n:]; len(q.mail.late) == 0 {
		q.mail.late = nil
	}
}

// An Admission says what becomes of a publish.
type Admission uint8

// Admissions.
const (
	Enter     Admission = iota
	Refuse              // the queue is full
	RefuseDie           // and the message goes to its outbox
)

// Admit decides about a publish for a queue that is led here. origin, which may
// be nil, is where it comes from.
func (e *Engine) Admit(q *Queue, it *shard.Item, origin *queue.Origin) Admission {
	if origin != nil && q.Ledger.Took(*origin) {
		q.Disp.Expect(it.Priority, it.Size)
		return Enter
	}
	if !q.clogged() && q.Disp.Admit(it.Priority, it.Size) {
		return Enter
	}
	if q.Settings.Overflow != queue.PostPublish || q.Settings.Letters == shard.NoLetters || e.Mail == nil {
		return Refuse
	}
	if len(q.mail.late) > 0 || !e.room(q) {
		e.Mail.Dropped(q.ID, 1)
		return Refuse
	}
	q.mail.posting++
	q.Disp.Expect(it.Priority, it.Size)
	return RefuseDie
}

// PostRun applies a logged post.
func (e *Engine) PostRun(q *Queue, r queue.Run, why queue.Reason, at int64) {
	q.Ledger.Post(r, why, at)
	q.mail.posting -= min(q.mail.posting, uint64(r.N))
}

// Withdraw takes back what Admit accounted for an item that is not applied.
func (e *Engine) Withdraw(q *Queue, it *shard.Item) {
	posted := it.Flags&shard.ItemPosted != 0
	if it.Flags&shard.ItemRefused == 0 || posted {
		q.Disp.Withdraw(it.Priority, it.Size)
	}
	if posted {
		q.mail.posting -= min(q.mail.posting, 1)
	}
}

// LeftRun applies that letters left, and lets their bodies go.
func (e *Engine) LeftRun(q *Queue, r queue.Run) {
	bs := e.lettersOf(q, r.Seq, r.Seq+uint64(r.Span))
	if q.Ledger.Left(r) > 0 {
		e.release(bs)
	}
}

// lettersOf lists the bodies of the letters with numbers in [from, to), as far
// as their records are in memory.
func (e *Engine) lettersOf(q *Queue, from, to uint64) []bodyRun {
	out := e.bodies[:0]
	for x, ok := q.Ledger.NextLetter(from); ok && x.Number < to; x, ok = q.Ledger.NextLetter(x.Number + 1) {
		if rec, hot := q.Ledger.LetterRecord(x.Seq); hot {
			out = addBody(out, rec.Body)
		}
	}
	e.bodies = out[:0]
	return out
}

// offer tells of letters that nobody asked for yet.
func (e *Engine) offer(q *Queue) {
	if q.mail.told || e.Mail == nil {
		return
	}
	if _, ok := q.nextLetter(); ok {
		q.mail.told = true
		e.Mail.Posted(e.Self, q.ID)
	}
}

// nextLetter returns the next letter to be handed out, if the window that its
// targets keep has room for it.
func (q *Queue) nextLetter() (queue.Letter, bool) {
	x, ok := q.Ledger.NextLetter(q.mail.handed + 1)
	return x, ok && x.Number <= q.Ledger.LetterFloor()+queue.OriginWindow
}

// posting is letters on their way to whoever asked for them.
type posting struct {
	res  shard.LettersResult
	miss []int // of res.Letters: their bodies are being read
	done func(shard.LettersResult, error)
}

// letters hands out the next letters of a queue.
func (e *Engine) letters(r *shard.Request) {
	q := e.Queue(r.Queue)
	switch {
	case q == nil:
		r.DoneLetters(shard.LettersResult{}, shard.ErrGone)
		return
	case !e.lead(q):
		r.DoneLetters(shard.LettersResult{}, shard.ErrUnavailable)
		return
	}
	p := &posting{done: r.DoneLetters}
	p.res.Floor, p.res.Volatile = q.Ledger.LetterFloor(), q.Settings.Memory
	var reads []queue.Delivery
	size := 0
	for len(p.res.Letters) < perCall {
		x, ok := q.nextLetter()
		if !ok {
			break
		}
		rec, hot := q.Ledger.LetterRecord(x.Seq)
		if !hot {
			if len(p.res.Letters) == 0 {
				e.loadPage(q, queue.PageOf(x.Seq))
				q.waits = append(q.waits, *r)
				return
			}
			break
		}
		if size += int(rec.Body.Len); size > loadBytes && len(p.res.Letters) > 0 {
			break
		}
		blob := e.Residents.Body(rec.Body)
		if blob == nil {
			p.miss = append(p.miss, len(p.res.Letters))
			reads = append(reads, queue.Delivery{Seq: x.Seq, Record: rec})
		}
		p.res.Letters = append(p.res.Letters, shard.Letter{Number: x.Number, Why: x.Why, At: x.At, Size: rec.Size, Blob: blob})
		q.mail.handed = x.Number
	}
	if len(p.res.Letters) == 0 {
		q.mail.told = false
	}
	if len(reads) == 0 {
		p.done(p.res, nil)
		return
	}
	bodies := make([]queue.Body, len(reads))
	for i := range reads {
		bodies[i] = reads[i].Record.Body
	}
	e.Log.Load(&Consumer{q: q, disp: q.Disp, post: p, waiting: reads}, bodies)
}

// lettersLoaded takes the bodies of letters; see Loaded.
func (e *Engine) lettersLoaded(c *Consumer, blobs [][]byte) (lost *queue.Delivery) {
	if c.q.Disp == nil || c.q.Disp != c.disp {
		c.post.done(shard.LettersResult{}, shard.ErrUnavailable)
		return nil
	}
	for i, b := range blobs {
		if b == nil {
			return &c.waiting[i]
		}
		c.post.res.Letters[c.post.miss[i]].Blob = b
	}
	c.post.done(c.post.res, nil)
	return nil
}

// left logs that letters left.
func (e *Engine) left(r *shard.Request) {
	if q := e.Queue(r.Queue); q != nil && q.Disp != nil {
		e.Log.Left(q, r.Letters)
	}
}
