package commitlog

import "sync/atomic"

// A Token lets one goroutine at a time run the turns of a machine, whoever
// finds it free, and makes sure that work marked while a turn runs is seen by
// one more turn. It never blocks. The zero Token is free.
//
// Marking and running are apart: Mark says that there is work, Take makes the
// caller the runner, and a runner ends with Release or Yield.
type Token struct{ state atomic.Uint32 }

const (
	tokenIdle    = iota // no work known
	tokenDue            // work marked, nobody runs
	tokenRunning        // somebody runs
	tokenAgain          // somebody runs, and work was marked since
	tokenFinished
)

// Mark says that there is work. It returns true if nobody runs and nobody was
// told yet: the caller must then see to it that somebody calls Take.
func (t *Token) Mark() bool {
	for {
		switch t.state.Load() {
		case tokenIdle:
			if t.state.CompareAndSwap(tokenIdle, tokenDue) {
				return true
			}
		case tokenRunning:
			if t.state.CompareAndSwap(tokenRunning, tokenAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// Take makes the caller the runner if nobody runs. If it returns false the
// runner there is does one more turn, or the token is finished.
func (t *Token) Take() bool {
	for {
		switch s := t.state.Load(); s {
		case tokenIdle, tokenDue:
			if t.state.CompareAndSwap(s, tokenRunning) {
				return true
			}
		case tokenRunning:
			if t.state.CompareAndSwap(tokenRunning, tokenAgain) {
				return false
			}
		default:
			return false
		}
	}
}

// Release ends the runner's turn. If it returns true work was marked meanwhile
// and the caller is still the runner: it must run one more turn.
func (t *Token) Release() bool {
	if t.state.CompareAndSwap(tokenRunning, tokenIdle) {
		return false
	}
	t.state.Store(tokenRunning)
	return true
}

// Yield ends the runner's turn even if work was marked meanwhile. It returns
// true in that case, as Mark does: the caller must see to it that somebody
// calls Take.
func (t *Token) Yield() bool {
	if t.state.CompareAndSwap(tokenRunning, tokenIdle) {
		return false
	}
	t.state.Store(tokenDue)
	return true
}

// Due reports whether work is marked and nobody runs.
func (t *Token) Due() bool { return t.state.Load() == tokenDue }

// Finish ends the runner's turn for ever: nobody will run again.
func (t *Token) Finish() { t.state.Store(tokenFinished) }
