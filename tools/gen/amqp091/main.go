// Command amqp091 reads the table of AMQP 0-9-1 methods and writes the codec's
// *_gen.go files: one file per class, one for the constants. It generates
// tables and their plain encoders and decoders; everything with a decision in
// it is written by hand in the package itself.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	table := flag.String("table", "", "the table of methods to read")
	out := flag.String("out", "", "the folder to write *_gen.go files to")
	flag.Parse()
	if err := run(*table, *out); err != nil {
		fmt.Fprintln(os.Stderr, "amqp091:", err)
		os.Exit(1)
	}
}

func run(table, out string) error {
	text, err := os.ReadFile(table)
	if err != nil {
		return fmt.Errorf("reading the table: %w", err)
	}
	spec, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", table, err)
	}
	files, err := generate(spec)
	if err != nil {
		return err
	}
	for name, src := range files {
		if err := os.WriteFile(filepath.Join(out, name), src, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
