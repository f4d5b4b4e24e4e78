//go:build faults

package faults

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/warrenmq/warren/test/faults/rig"
)

// settings are the flags of the package's tests.
type settings struct {
	kills  int
	binary string
}

var with settings

func TestMain(m *testing.M) {
	flag.IntVar(&with.kills, "kills", 5, "how often TestKills kills the broker")
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "warren-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if with.binary, err = rig.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func newBroker(t *testing.T, args ...string) *rig.Broker {
	return rig.New(t, rig.Options{Binary: with.binary, Args: append([]string{
		"--set", "memory.budget=128MiB", "--set", "shards=2", "--set", "log.segment_size=4MiB",
	}, args...)})
}
