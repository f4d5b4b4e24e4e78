package warren_test

import (
	"go/ast"
	"os"
	"slices"
	"strings"
	"testing"
)

// impure are the imports that would let a clock, a scheduler, a disk, a socket,
// chance or a backtracking pattern into a machine that must give the same
// effects for the same log on every node.
var impure = []string{
	"C", "context", "crypto/rand", "hash/maphash", "log", "math/rand", "net", "os", "plugin", "regexp", "runtime",
	"sync", "syscall",
}

// impureOwn are our own leaf helpers that give what the core may not have.
var impureOwn = []string{"internal/clock", "internal/sim"}

// clockReads are the names of package time that read or wait for the clock.
var clockReads = []string{
	"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Timer", "Ticker", "Local",
}

func TestPurity(t *testing.T) {
	report(t, checkPurity(parseTree(t, os.DirFS("."))))
}

// checkPurity holds the core, and every codec, to pure functions of its input.
func checkPurity(files []*goFile) (found []string) {
	for _, f := range files {
		if !mustBePure(f.pkg) || f.support() {
			continue
		}
		for _, spec := range f.ast.Imports {
			if p := importPath(spec); isImpure(p) {
				found = append(found, f.at(spec.Pos(), "%s must be pure and imports %s", f.pkg, p))
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if what := impureSyntax(n); what != "" {
				found = append(found, f.at(n.Pos(), "%s must be pure and has %s", f.pkg, what))
			}
			return true
		})
	}
	return found
}

func mustBePure(pkg string) bool {
	return matches("core", pkg) || matches("protocol/*/wire", pkg)
}

func isImpure(p string) bool {
	if own, ours := strings.CutPrefix(p, modulePath+"/"); ours {
		return slices.ContainsFunc(impureOwn, func(m string) bool { return matches(m, own) })
	}
	if strings.Contains(strings.Split(p, "/")[0], ".") {
		return true // a module of others: the core stands on the standard library alone
	}
	return p != "sync/atomic" && slices.ContainsFunc(impure, func(m string) bool { return matches(m, p) })
}

// impureSyntax names what makes a node impure, or returns "".
func impureSyntax(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a go statement"
	case *ast.SelectStmt:
		return "a select statement"
	case *ast.ChanType:
		return "a channel"
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clockReads, n.Sel.Name) {
			return "time." + n.Sel.Name
		}
	}
	return ""
}
