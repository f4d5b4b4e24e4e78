// Command warren is the broker and its tools; see package cli.
package main

import (
	"os"

	"github.com/warrenmq/warren/cli"
)

func main() { os.Exit(cli.System().Main(os.Args)) }
