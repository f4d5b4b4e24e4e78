package engine

import "github.com/warrenmq/warren/core/queue"

// due moves what is due in a schedule to its outbox, as far as there is room: the
// rest stays where it is, in order, until letters have left.
func (e *Engine) due(q *Queue) {
	if len(q.waits) > 0 {
		e.retry(q)
	}
	full := false
	for {
		room := e.roomIn(q)
		if full = room == 0; full {
			break
		}
		runs, p := q.Disp.Due(e.Now, min(room, perCall), e.runs[:0])
		for _, r := range runs {
			e.die(q, r, queue.Due)
		}
		e.runs = runs[:0]
		if p.Why == queue.LimitReached {
			continue
		}
		if p.Why == queue.NeedPage {
			e.loadPage(q, p.Page)
		}
		break
	}
	at := q.Disp.NextDue()
	if full || at <= e.Now {
		at = 0 // what it waits for touches the queue: letters that leave, a page that comes
	}
	e.expireAt(q, at)
}
