package shard_test

import (
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Times of the queues that have some, in milliseconds. All of them are over
// after patience.
const (
	restMin, restMax = 300, 900
	shortTTL         = 500
	unusedFor        = 700
	patience         = 1200 * time.Millisecond
	// slack is by how much the log's time may differ from the test's.
	slack = 2 * time.Millisecond
	// late is by how much queues and messages may end later than they could.
	late = 250 * time.Millisecond
)

// settings are those of a queue by the last digit of its name.
func settings(name string) (s shard.Settings) {
	switch name[len(name)-1] {
	case '1':
		s.SingleActive = true
	case '2':
		s.MaxLength, s.Overflow = queue.AtMost(6), queue.RejectPublish
	case '3':
		s.TTL, s.HasTTL = 1<<31, true
	case '4':
		s.Retry = queue.Retry{When: queue.RetryFailed | queue.RetryReturned, Min: restMin, Max: restMax}
	case '5':
		s.TTL, s.HasTTL = shortTTL, true
	case '6':
		s.Expires = unusedFor
	case '7':
		s.SingleActive, s.DeliveryLimit = true, queue.AtMost(2)
		s.Retry = queue.Retry{When: queue.RetryFailed, Min: restMin, Max: restMax}
	case '8':
		s.MaxLength, s.Overflow = queue.AtMost(6), queue.RejectPublish
		s.TTL, s.HasTTL = shortTTL, true
		s.Retry = queue.Retry{When: queue.RetryReturned, Min: restMin, Max: restMax}
	case '9':
		s.SingleActive, s.Expires = true, unusedFor
	}
	return s
}

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// rest is how long a message rests that comes back for the n-th time.
func rest(r queue.Retry, when queue.RetryWhen, n uint16) time.Duration {
	if r.When&when == 0 {
		return 0
	}
	return min(milliseconds(r.Min)*time.Duration(n), milliseconds(r.Max))
}

// fleeting says that a message of the queue may end without anybody asking.
func (q *wqueue) fleeting() bool {
	return q.set.HasTTL && q.set.TTL == shortTTL || q.set.DeliveryLimit != 0
}

// mustExpire and mayExpire say that a message must, or may, have expired by a
// time.
func (q *wqueue) mustExpire(m *wmessage, now time.Duration) bool {
	return q.set.HasTTL && m.taken != 0 && now > m.taken+milliseconds(q.set.TTL)+slack
}

func (q *wqueue) mayExpire(m *wmessage, now time.Duration) bool {
	return q.set.HasTTL && now >= m.sent+milliseconds(q.set.TTL)-slack
}

// maySpend and mustSpend say the same of the delivery limit.
func (q *wqueue) maySpend(m *wmessage) bool {
	limit, ok := q.set.DeliveryLimit.Set()
	return ok && uint64(m.asked) > limit
}

func (q *wqueue) mustSpend(m *wmessage) bool {
	limit, ok := q.set.DeliveryLimit.Set()
	return ok && uint64(m.failed) > limit
}

// mayEnd says that nobody used the queue for so long that it may have ended.
func (q *wqueue) mayEnd(now time.Duration) bool {
	return q.set.Expires > 0 && now >= q.used+milliseconds(q.set.Expires)-slack
}
