//go:build !unix

package node

import "github.com/warrenmq/warren/admin"

// openFiles is not known here.
func openFiles() admin.Files { return admin.Files{Used: -1, Limit: -1} }
