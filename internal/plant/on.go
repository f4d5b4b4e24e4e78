//go:build plants

package plant

import (
	"os"
	"sync/atomic"
)

var chosen atomic.Pointer[Name] //nolint:gochecknoglobals // of builds that are not shipped

// Set chooses the bug that is planted; "" is none.
func Set(n Name) { chosen.Store(&n) }

// Is reports whether a bug is planted.
func Is(n Name) bool {
	p := chosen.Load()
	if p == nil {
		Set(Name(os.Getenv("WARREN_PLANT")))
		p = chosen.Load()
	}
	return *p == n
}
