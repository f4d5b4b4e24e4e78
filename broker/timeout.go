package broker

import "time"

// ConsumerTimeout returns how long consumers of a queue may hold a message
// before they settle it, if the queue says so by argument or policy. 0 is for
// ever.
func (s *Session) ConsumerTimeout(id QueueID) (d time.Duration, ok bool) {
	q := s.b.View().QueueByID(id)
	if q == nil {
		return 0, false
	}
	n, ok := intSetting(q, "x-consumer-timeout")
	return time.Duration(n) * time.Millisecond, ok
}
