package seglog_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func small(fs vfs.FS, dir string) seglog.Options {
	return seglog.Options{FS: fs, Dir: dir, SegmentSize: 16 << 10, NodeID: 1, GatherSize: 4096, FreeRest: -1}
}

func TestContract(t *testing.T) {
	storagetest.RunLog(t, func(fs vfs.FS, dir string) (storage.LogStore, error) {
		return seglog.Open(small(fs, dir))
	})
}

func TestContractWithoutCache(t *testing.T) {
	storagetest.RunLog(t, func(fs vfs.FS, dir string) (storage.LogStore, error) {
		o := small(fs, dir)
		o.CacheBytes = -1
		return seglog.Open(o)
	})
}
