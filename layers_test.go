// Package warren_test holds the house rules that a compiler does not know:
// which floor may import which (layers_test.go), what makes the core pure
// (purity_test.go) and what must not stand in any file (tidy_test.go). The rules
// are functions of a file tree, so that testdata/ can show each of them broken.
// It reads files only, is called by `go test`, and starts no goroutine.
package warren_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

const modulePath = "github.com/warrenmq/warren"

// A floor is one row of the table in docs/ARCHITECTURE.md.
type floor struct {
	level int
	// pkg names the row: the package and everything below its folder.
	pkg string
	// may lists what the row may import besides the standard library, itself
	// and internal/*. A name stands for its whole subtree; a * for one segment;
	// "below" for every row of a lower level.
	may []string
}

// floors is the house from the roof down. An import never points up.
var floors = []floor{
	{8, "cmd/warren", []string{"cli"}},
	{8, "cli", []string{"app", "node", "config", "admin/client", "protocol/*/client", "protocol/*/wire"}}, // the client speaks the wire's own structs
	{7, "app", []string{"node", "below"}},
	{7, "node", []string{"below"}},
	{7, "config", []string{"node", "below"}}, // the file's shape embeds the packages' Options, node's too
	{6, "listener", []string{"protocol"}},
	{6, "health", []string{"protocol"}},
	{6, "link", []string{"broker", "core", "protocol/*/client"}},
	{5, "protocol", []string{"broker", "core"}},
	{5, "admin", []string{"broker", "auth", "core/catalog"}},
	{4, "broker", []string{"shard", "cluster", "auth", "core"}},
	{4, "reconcile", []string{"shard", "cluster", "core"}},
	{4, "transfer", []string{"shard", "cluster", "core"}},
	{3, "shard", []string{"commitlog", "cluster/transport", "storage", "core"}},
	{3, "cluster", []string{"commitlog", "storage", "core/catalog", "core/message"}}, // messages: the tables of attributes
	{2, "commitlog", nil},
	{2, "auth", []string{"core/catalog"}},
	{1, "core", nil},
	{1, "storage", nil},
	{0, "internal", nil},
}

// outside lists folders that stand beside the house: they may use it, it may
// not use them. The root itself holds nothing but these rules.
var outside = []string{"test", "tools", "spec", "web", "docs", "."}

// A goFile is one parsed file of the root module.
type goFile struct {
	name string // slash-separated, relative to the root
	pkg  string // its folder
	test bool   // a _test.go file
	ast  *ast.File
	fset *token.FileSet
}

func (f *goFile) at(p token.Pos, format string, a ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.name, f.fset.Position(p).Line, fmt.Sprintf(format, a...))
}

// support reports whether the file only serves tests: a _test.go file, or a
// package named after the one it tests (storage/storagetest).
func (f *goFile) support() bool { return f.test || strings.HasSuffix(f.pkg, "test") }

func TestLayers(t *testing.T) {
	files := parseTree(t, os.DirFS("."))
	report(t, checkLayers(files))
}

// TestRulesBite runs every rule over small trees that break it.
func TestRulesBite(t *testing.T) {
	datadriven.Walk(t, "testdata/rules", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			tree := parseArchive(d.Input)
			rules := map[string]func() []string{
				"layers":   func() []string { return checkLayers(parseTree(t, tree)) },
				"purity":   func() []string { return checkPurity(parseTree(t, tree)) },
				"packages": func() []string { return checkPackages(parseTree(t, tree)) },
				"words":    func() []string { return checkWords(readTree(t, tree), nil) },
				"modules":  func() []string { return checkModules(readTree(t, tree)) },
				"proofs":   func() []string { return checkProofs(parseTree(t, tree), string(readTree(t, tree)["docs/proofs.md"])) },
				"logging":  func() []string { return checkLogging(parseTree(t, tree), string(readTree(t, tree)["docs/logging.md"])) },
			}
			rule := rules[d.Cmd]
			if rule == nil {
				d.Fatalf(t, "unknown rule %q", d.Cmd)
			}
			found := rule()
			if len(found) == 0 {
				return "ok"
			}
			sort.Strings(found)
			return strings.Join(found, "\n")
		})
	})
}

// checkLayers holds the table of floors.
func checkLayers(files []*goFile) (found []string) {
	for _, f := range files {
		from := floorOf(f.pkg)
		if from == nil && !isOutside(f.pkg) {
			found = append(found, f.at(f.ast.Package, "package %s stands on no floor", f.pkg))
			continue
		}
		for _, spec := range f.ast.Imports {
			if to, ours := ownImport(spec); ours {
				if why := refuse(f, from, to); why != "" {
					found = append(found, f.at(spec.Pos(), "%s may not import %s: %s", f.pkg, to, why))
				}
			}
		}
	}
	return found
}

// refuse returns why f, of the row from, may not import the package to, or "".
func refuse(f *goFile, from *floor, to string) string {
	dest := floorOf(to)
	switch {
	case isOutside(to) && isOutside(f.pkg):
		return ""
	case dest == nil:
		return "it is not part of the house"
	case dest.pkg == "cli" && (from == nil || from.pkg != "cmd/warren" && from.pkg != "cli"):
		return "only cmd/warren uses cli"
	case from == nil: // test/ may start the whole house
		return ""
	case otherProtocol(f.pkg, to):
		return "a protocol never knows another"
	case dest.level > from.level:
		return "an import never points up"
	case f.support(), dest.pkg == from.pkg, dest.pkg == "internal":
		return ""
	}
	for _, m := range from.may {
		if m == "below" && dest.level < from.level || matches(m, to) {
			return ""
		}
	}
	return fmt.Sprintf("its floor may import %s", strings.Join(append([]string{"internal"}, from.may...), ", "))
}

// otherProtocol reports an import between two siblings below protocol/.
func otherProtocol(from, to string) bool {
	a, b := strings.Split(from, "/"), strings.Split(to, "/")
	return len(a) > 1 && len(b) > 1 && a[0] == "protocol" && b[0] == "protocol" && a[1] != b[1]
}

// matches reports whether pkg lies in the subtree that pattern names.
func matches(pattern, pkg string) bool {
	p, s := strings.Split(pattern, "/"), strings.Split(pkg, "/")
	if len(s) < len(p) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != s[i] {
			return false
		}
	}
	return true
}

func floorOf(pkg string) *floor {
	i := slices.IndexFunc(floors, func(f floor) bool { return matches(f.pkg, pkg) })
	if i < 0 {
		return nil
	}
	return &floors[i]
}

func isOutside(pkg string) bool {
	return slices.ContainsFunc(outside, func(o string) bool { return matches(o, pkg) })
}

// ownImport returns an import's path below the module, and whether it is ours.
func ownImport(spec *ast.ImportSpec) (string, bool) {
	return strings.CutPrefix(importPath(spec), modulePath+"/")
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// parseTree parses the Go files of the module at the root of tree. Nested
// modules, testdata and folders that a build makes are not part of it.
func parseTree(t *testing.T, tree fs.FS) []*goFile {
	t.Helper()
	var files []*goFile
	for _, name := range listTree(t, tree) {
		if path.Ext(name) != ".go" || inNested(tree, name) || strings.Contains("/"+name, "/testdata/") {
			continue
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, &goFile{
			name: name, pkg: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: parsed, fset: fset,
		})
	}
	return files
}

// inNested reports whether a folder between the root and name is a module.
func inNested(tree fs.FS, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, err := fs.Stat(tree, dir+"/go.mod"); err == nil {
			return true
		}
	}
	return false
}

func report(t *testing.T, found []string) {
	t.Helper()
	for _, line := range found {
		t.Error(line)
	}
}
