//go:build plants

package seglog_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/warrenmq/warren/internal/plant"
)

// TestPlants: the bugs that can be planted in the log are found by its tests, which
// pass without them. They run in processes of their own.
func TestPlants(t *testing.T) {
	for bug, test := range map[plant.Name]string{
		plant.SyncErrorIgnored:    "^TestErrors$",
		plant.ChecksumNotVerified: "^TestDamage$|^TestFlippedBitIsNamed$",
	} {
		t.Run(string(bug), func(t *testing.T) {
			run := func(bug plant.Name) error {
				c := exec.Command(os.Args[0], "-test.run", test)
				c.Env = append(os.Environ(), "WARREN_PLANT="+string(bug))
				return c.Run()
			}
			if err := run(""); err != nil {
				t.Errorf("%s fails without a bug: %v", test, err)
			}
			if run(bug) == nil {
				t.Errorf("%s does not find it", test)
			}
		})
	}
}
