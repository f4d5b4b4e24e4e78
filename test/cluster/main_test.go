//go:build chaos

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
)

// inside says that this process has the namespaces.
const inside = "CHAOS_INSIDE"

func TestMain(m *testing.M) {
	if image := os.Getenv(powered); image != "" {
		os.Exit(runPowered(image))
	}
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	os.Exit(enter())
}

// enter runs this program again with a network and mounts of its own.
func enter() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWNET,
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL, // the timeout of go test kills this process only
	}
	runtime.LockOSThread() // its end would be taken for that of this process
	signal.Ignore(os.Interrupt)
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return max(exit.ExitCode(), 1)
		}
		fmt.Fprintln(os.Stderr, "run in namespaces of its own, which root may:", err)
		return 1
	}
	return 0
}
