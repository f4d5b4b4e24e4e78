package storage

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// PrivateFS is the machine's disk with every file it makes readable by the
// owner alone, and every directory too, whatever the umask says.
func PrivateFS() vfs.FS { return privateFS{vfs.Default} }

type privateFS struct{ vfs.FS }

func (p privateFS) Unwrap() vfs.FS { return p.FS }

func (p privateFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	return privateFile(name, f, err)
}

func (p privateFS) OpenReadWrite(
	name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption,
) (vfs.File, error) {
	f, err := p.FS.OpenReadWrite(name, category, opts...)
	return privateFile(name, f, err)
}

func (p privateFS) MkdirAll(dir string, _ os.FileMode) error { return p.FS.MkdirAll(dir, 0o700) }

func (p privateFS) Lock(name string) (io.Closer, error) {
	lock, err := p.FS.Lock(name)
	return privateFile(name, lock, err)
}

// privateFile restricts a file that was just opened, or passes on the error.
func privateFile[F io.Closer](name string, f F, err error) (F, error) {
	var none F
	if err != nil {
		return none, err
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return none, errors.Join(err, f.Close())
	}
	return f, nil
}
