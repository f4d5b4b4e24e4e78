package ctl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// mostDefinitions bounds what is read of a document.
const mostDefinitions = 1 << 30

func definitionVerbs() []verb {
	const group = "Definitions"
	return []verb{
		{
			name: "export_definitions", tools: ctl, group: group, min: 1, max: 1,
			short: "Exports definitions in JSON", usage: "<file_path | \"-\"> [--format <json>]",
			options: []option{own("format", "format")}, check: (*call).checkExport,
			banner: func(c *call) string {
				if c.args[0] == "-" {
					return ""
				}
				return fmt.Sprintf("Exporting definitions in JSON to a file at \"%s\" ...", c.args[0])
			},
			run: (*call).exportDefinitions,
		},
		{
			name: "import_definitions", tools: ctl, group: group, max: 1,
			short: "Imports definitions in JSON", usage: "<file_path | \"-\"> [--format <json>] [--skip-if-unchanged]",
			options: []option{own("format", "format"), own("skip-if-unchanged", "")}, check: (*call).checkImport,
			banner: func(c *call) string {
				if c.fromStdin() {
					return "Importing definitions in JSON from standard input ..."
				}
				return fmt.Sprintf("Importing definitions in JSON from a file at \"%s\" ...", c.args[0])
			},
			run: (*call).importDefinitions,
		},
	}
}

func (c *call) checkFormat() error {
	if f, ok := c.opt("format"); ok && f != "json" {
		return c.invalid(exitData, "Bad argument: format should be json; there are no terms of Erlang here")
	}
	return nil
}

func (c *call) checkExport() error {
	if dir := filepath.Dir(c.args[0]); c.args[0] != "-" {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return c.invalid(exitData, "Bad argument: Directory %s does not exist", dir)
		}
	}
	return c.checkFormat()
}

func (c *call) fromStdin() bool { return len(c.args) == 0 || c.args[0] == "-" }

func (c *call) checkImport() error {
	if !c.fromStdin() {
		if _, err := os.Stat(c.args[0]); errors.Is(err, fs.ErrNotExist) {
			return c.invalid(exitData, "Bad argument: File %s does not exist", c.args[0])
		}
	}
	return c.checkFormat()
}

// exportDefinitions writes a file that only its owner can read: the hashes of
// passwords are in it.
func (c *call) exportDefinitions() error {
	text, err := c.node.ExportDefinitions(c.ctx)
	if err != nil {
		return err
	}
	if c.args[0] == "-" {
		_, err := c.w.Stdout.Write(text)
		return err
	}
	if err := os.WriteFile(c.args[0], text, 0o600); err != nil {
		return c.failed(exitUnavailable, "write the definitions: %v", err)
	}
	return nil
}

func (c *call) importDefinitions() error {
	from := c.w.Stdin
	if !c.fromStdin() {
		f, err := os.Open(c.args[0])
		if err != nil {
			return c.failed(exitData, "%v", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, mostDefinitions))
	if err != nil {
		return c.failed(exitData, "read the definitions: %v", err)
	}
	got, err := c.node.ImportDefinitions(c.ctx, text)
	if err != nil {
		return err
	}
	c.warn("kept", got.Kept)
	c.warn("ignored", got.Ignored)
	if !c.quiet {
		c.say("Successfully imported the definitions.")
	}
	return nil
}

// warn tells of things that went otherwise than the document says.
func (c *call) warn(what string, texts []string) {
	for _, text := range texts {
		fmt.Fprintf(c.w.Stderr, "%s: %s\n", what, oneLine(text))
	}
}
