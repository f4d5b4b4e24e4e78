package seglog_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/storagetest"
)

func TestCrash(t *testing.T) {
	storagetest.RunLogCrash(t, func(fs vfs.FS, dir string) (storage.LogStore, error) {
		o := small(fs, dir)
		o.MaxFree = 1
		return seglog.Open(o)
	}, racing.Less(5000))
}

func TestErrors(t *testing.T) {
	storagetest.RunLogErrors(t, func(fs vfs.FS, dir string, fatal func(error)) (storage.LogStore, error) {
		o := small(fs, dir)
		o.Fatal = fatal
		return seglog.Open(o)
	})
}

func TestDamage(t *testing.T) {
	storagetest.RunLogDamage(t, func(fs vfs.FS, dir string) (storage.LogStore, bool, error) {
		log, err := seglog.Open(small(fs, dir))
		if err != nil {
			return nil, false, err
		}
		return log, len(log.Damages()) > 0, nil
	}, racing.Less(3000))
}
