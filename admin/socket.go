package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// SocketName is the unix socket of a running node, within its data directory.
const SocketName = "warren.sock"

// pointerName is a file beside it that says where the socket is if the
// directory's own path is too long for one.
const pointerName = SocketName + ".path"

// longestPath is what every system takes as the path of a unix socket.
const longestPath = 100

// ListenSocket opens the socket of the node that uses dir, for its owner alone.
// The caller holds the directory's lock, so what an earlier life left behind is
// removed. Closing the listener removes the socket; a short-named directory made
// for it is removed by the returned function.
func ListenSocket(ctx context.Context, dir string) (ln net.Listener, cleanup func(), err error) {
	path, pointer := filepath.Join(dir, SocketName), filepath.Join(dir, pointerName)
	for _, stale := range []string{path, pointer} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("remove stale %s: %w", stale, err)
		}
	}
	cleanup = func() {}
	if abs, err := filepath.Abs(path); err != nil || len(abs) > longestPath {
		short, err := os.MkdirTemp("", "warren-") // 0700
		if err != nil {
			return nil, nil, fmt.Errorf("make a directory for the socket: %w", err)
		}
		path = filepath.Join(short, "sock")
		cleanup = func() { _ = os.Remove(pointer); _ = os.RemoveAll(short) }
		if err := os.WriteFile(pointer, []byte(path+"\n"), 0o600); err != nil {
			cleanup()
			return nil, nil, fmt.Errorf("write %s: %w", pointer, err)
		}
	}
	if ln, err = listenPrivate(ctx, path); err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("open socket: %w", err)
	}
	return ln, cleanup, nil
}

// listenPrivate makes the socket so that nobody else can open it even for the
// moment before its mode is set.
func listenPrivate(ctx context.Context, path string) (net.Listener, error) {
	lc := net.ListenConfig{Control: modeBeforeBind}
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// DialSocket connects to the node that uses dir.
func DialSocket(ctx context.Context, dir string) (net.Conn, error) {
	path := filepath.Join(dir, SocketName)
	if text, err := os.ReadFile(filepath.Join(dir, pointerName)); err == nil {
		path = strings.TrimSpace(string(text))
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}
