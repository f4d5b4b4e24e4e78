package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/config"
)

// tellEvery is how often a backup or restore says how far it is.
const tellEvery = 2 * time.Second

// teller returns what prints the progress to standard error.
func (a *App) teller(what string, quiet bool) func(client.Progress) {
	last := a.Now()
	return func(p client.Progress) {
		if quiet || a.Now().Sub(last) < tellEvery {
			return
		}
		last = a.Now()
		fmt.Fprintf(a.Stderr, "%s: queue %d of %d (%q in vhost %q), %d messages, %s\n",
			what, p.Totals.Queues+1, p.Manifest.Queues, p.Queue, p.VHost, p.Messages, bytesText(int64(p.Bytes)))
	}
}

func (a *App) backupCmd() *cobra.Command {
	var dir string
	var quiet, overwrite bool
	c := &cobra.Command{
		Use: "backup FILE", Short: "Copy definitions and messages of the running node into a file",
		Long: "Backup copies definitions and the messages of durable queues into FILE, or to standard output if FILE is \"-\".\n" +
			"The node goes on working.",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := a.interruptible(c.Context())
			defer stop()
			node := client.New(dir)
			defer node.Close()
			take := func(w io.Writer) (*client.Archive, error) {
				return client.TakeBackup(ctx, node, w, a.teller("backup", quiet))
			}
			if args[0] == "-" {
				_, err := take(a.Stdout)
				return err
			}
			x, err := intoFile(args[0], overwrite, take)
			if err != nil {
				return err
			}
			return a.printArchive(x, "written to "+args[0])
		},
	}
	c.Flags().StringVar(&dir, "data", config.DefaultDataDir, "data `DIR`ectory of the node")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not show the progress")
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace FILE if it exists")
	return c
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("%s takes one argument, the file", c.CommandPath())
	}
	return nil
}

// intoFile has take write a new file, which only its owner can read, and which
// has its name only when it is whole and on the disk.
func intoFile(name string, overwrite bool, take func(io.Writer) (*client.Archive, error)) (x *client.Archive, err error) {
	if _, err := os.Lstat(name); err == nil && !overwrite {
		return nil, &coded{exitUsage, fmt.Errorf("%s exists: remove it, or say --overwrite", name)}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &coded{exitIO, err}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // 0600
	if err != nil {
		return nil, &coded{exitIO, fmt.Errorf("make the file: %w", err)}
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // it is half a backup
		}
	}()
	if x, err = take(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err = errors.Join(f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return nil, &coded{exitIO, fmt.Errorf("write %s: %w", name, err)}
	}
	return x, nil
}

// printArchive says what an archive holds. One that lacks the messages of a
// queue is a failure, though the file is good.
func (a *App) printArchive(x *client.Archive, what string) error {
	fmt.Fprintf(a.Stdout, "backup %s of node %s, taken %s by version %s: %d messages of %d queues, %s; %s\n",
		x.Manifest.ID, x.Manifest.Node, x.Manifest.Created, x.Manifest.Version, x.Totals.Messages, x.Totals.Queues,
		bytesText(int64(x.Totals.Bytes)), what)
	if len(x.Unavailable) == 0 {
		return nil
	}
	for _, text := range x.Unavailable {
		fmt.Fprintf(a.Stderr, "not in the backup: %s\n", text)
	}
	return &coded{exitFailed, fmt.Errorf("the messages of %d queues are not in the backup", len(x.Unavailable))}
}

func (a *App) restoreCmd() *cobra.Command {
	var dir string
	var quiet, check bool
	var o client.RestoreOptions
	c := &cobra.Command{
		Use: "restore FILE", Short: "Give a backup back to a running node that is empty",
		Long: "Restore checks FILE, which backup wrote, from end to end, and then makes the definitions and messages that are in it.\n" +
			"A restore that was interrupted goes on when it is called again with the same file.",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := a.interruptible(c.Context())
			defer stop()
			f, err := os.Open(args[0])
			if err != nil {
				return &coded{exitIO, err}
			}
			defer func() { _ = f.Close() }() // it was only read
			if check {
				x, err := client.ReadArchive(f, a.teller("check", quiet))
				if err != nil {
					return fileError(args[0], err)
				}
				return a.printArchive(x, "every byte of it is as it was written")
			}
			o.Tell = a.teller("restore", quiet)
			return a.restore(ctx, dir, f, o)
		},
	}
	c.Flags().StringVar(&dir, "data", config.DefaultDataDir, "data `DIR`ectory of the node")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not show the progress")
	c.Flags().BoolVar(&check, "check", false, "only check the file; no node is asked")
	c.Flags().BoolVar(&o.Force, "force", false, "restore into a node that is not empty: what exists stays, messages are added")
	return c
}

// fileError gives an error about the file its exit code.
func fileError(name string, err error) error {
	var damage *client.DamageError
	if errors.As(err, &damage) || errors.Is(err, client.ErrNotArchive) {
		return &coded{exitIO, fmt.Errorf("%s: %w", name, err)}
	}
	return err
}

func (a *App) restore(ctx context.Context, dir string, f *os.File, o client.RestoreOptions) error {
	node := client.New(dir)
	defer node.Close()
	x, err := client.Restore(ctx, node, f, o)
	if err != nil {
		if x != nil {
			fmt.Fprintf(a.Stderr, "restored until then: %d messages of %d queues; call it again to go on\n", x.Messages, x.Totals.Queues)
		}
		return fileError(f.Name(), err)
	}
	if x.Resumed {
		fmt.Fprintf(a.Stdout, "went on from queue %d\n", x.From+1)
	}
	for _, text := range x.Imported.Kept {
		fmt.Fprintf(a.Stderr, "kept: %q\n", text)
	}
	for _, text := range x.Imported.Ignored {
		fmt.Fprintf(a.Stderr, "ignored: %q\n", text)
	}
	fmt.Fprintf(a.Stdout, "restored %d messages of %d queues\n", x.Messages, x.Totals.Queues)
	return nil
}
