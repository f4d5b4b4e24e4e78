package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// portsFile is where serve writes the addresses it bound, within the data
// directory.
const portsFile = "ports.json"

// writePorts puts the addresses into dir, whole or not at all.
func writePorts(dir string, addrs map[string]string) error {
	return writeAddrs(filepath.Join(dir, portsFile), addrs)
}

func writeAddrs(path string, addrs map[string]string) error {
	text, err := json.Marshal(addrs)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", append(text, '\n'), 0o600); err != nil {
		return &coded{exitIO, fmt.Errorf("write the addresses: %w", err)}
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return &coded{exitIO, fmt.Errorf("write the addresses: %w", err)}
	}
	return nil
}

// removePorts takes away what this life, or one that was killed, has written.
func removePorts(dir string) error {
	if err := os.Remove(filepath.Join(dir, portsFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale addresses: %w", err)
	}
	return nil
}

// readPorts returns the addresses of the node that uses dir.
func readPorts(dir string) (addrs map[string]string, err error) {
	return readAddrs(filepath.Join(dir, portsFile))
}

func readAddrs(path string) (addrs map[string]string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &addrs); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return addrs, nil
}
