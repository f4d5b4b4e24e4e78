package auth

import (
	"crypto/subtle"
	"sync"
	"time"
)

// verified remembers which password of a user was found right, as a
// fingerprint, for some minutes. The user's revision is part of the
// fingerprint, so a change of the user drops it.
type verified struct {
	size int
	ttl  time.Duration
	mu   struct {
		sync.Mutex
		by map[string]verifiedEntry
	}
}

type verifiedEntry struct {
	fp    fingerprint
	until time.Duration
}

func (v *verified) has(user string, fp fingerprint, now time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.mu.by[user]
	if ok && now >= e.until {
		delete(v.mu.by, user)
		ok = false
	}
	return ok && subtle.ConstantTimeCompare(e.fp[:], fp[:]) == 1
}

func (v *verified) add(user string, fp fingerprint, now time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.by == nil {
		v.mu.by = make(map[string]verifiedEntry)
	}
	if _, there := v.mu.by[user]; !there && len(v.mu.by) >= v.size {
		v.evictLocked(now)
	}
	v.mu.by[user] = verifiedEntry{fp: fp, until: now + v.ttl}
}

func (v *verified) evictLocked(now time.Duration) {
	first, until := "", time.Duration(0)
	for user, e := range v.mu.by {
		if now >= e.until {
			delete(v.mu.by, user)
		} else if until == 0 || e.until < until {
			first, until = user, e.until
		}
	}
	if len(v.mu.by) >= v.size {
		delete(v.mu.by, first)
	}
}

func (v *verified) len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.mu.by)
}
