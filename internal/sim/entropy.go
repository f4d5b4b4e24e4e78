package sim

import (
	"crypto/rand"
	"io"
	mathrand "math/rand/v2"
	"sync"
)

// entropyMu makes sure that one test at a time owns crypto/rand.Reader. Both
// are of the process: there is no other way to make a library deterministic
// that draws from that variable.
var entropyMu sync.Mutex //nolint:gochecknoglobals // guards a global of another package

// SwapEntropy puts a seeded reader in the place of crypto/rand.Reader until
// restore is called. Libraries that draw from it (Raft does, for its election
// timeouts) are then deterministic as long as one goroutine uses them. A second
// SwapEntropy waits for the first one's restore.
func SwapEntropy(seed uint64) (restore func()) {
	entropyMu.Lock()
	old := rand.Reader
	rand.Reader = io.Reader(&entropy{pcg: mathrand.NewPCG(seed, 0xda3e39cb94b95bdb)})
	return func() {
		rand.Reader = old
		entropyMu.Unlock()
	}
}

type entropy struct{ pcg *mathrand.PCG }

func (e *entropy) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e.pcg.Uint64() >> 32)
	}
	return len(p), nil
}
