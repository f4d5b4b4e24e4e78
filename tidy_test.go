package warren_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	maxLines  = 800 // of a file written by hand
	maxDirect = 25  // direct dependencies of what we ship
)

// made are folders that a build or a run leaves behind.
var made = []string{".git", "bin", "dist", "node_modules", ".venv", "__pycache__", "warren-data", "target", ".pytest_cache"}

// shapeless are package names that say nothing about what is inside.
var shapeless = []string{"util", "utils", "common", "types", "models", "misc", "helpers", "shared", "lib"}

// A word is a pattern that no file, or no file of a kind, may hold.
type word struct {
	pattern *regexp.Regexp
	only    string // files whose name ends so; "" for all
	why     string
}

var words = []word{
	{regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`), ".go", "finish it, or write it down where it will be read"},
	{regexp.MustCompile(`testing\.Short\(\)`), "_test.go", "a test that may not run proves nothing: use a build tag"},
	{regexp.MustCompile(`\btime\.Sleep\(`), "_test.go", "wait for what happens, not for a while"},
	{regexp.MustCompile(`(^|[^\w.~-])/(root|home/\w+|Users/\w+)/`), "", "a path of somebody's machine"},
	{
		regexp.MustCompile(`(proxy|sum)\.golang\.org|registry\.npmjs\.org|pypi\.org|pythonhosted\.org|maven\.(apache\.)?org|deb\.debian\.org`),
		"", "a registry's host: the client of this machine knows it",
	},
}

func TestPackages(t *testing.T) {
	report(t, checkPackages(parseTree(t, os.DirFS("."))))
}

func TestWords(t *testing.T) {
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkWords(readTree(t, os.DirFS(".")), homes(root)))
}

func TestModules(t *testing.T) {
	report(t, checkModules(readTree(t, os.DirFS("."))))
}

// checkPackages wants a comment for every package, a name that says something,
// and no code that runs before main.
func checkPackages(files []*goFile) (found []string) {
	commented, first := map[string]bool{}, map[string]*goFile{}
	for _, f := range files {
		found = append(found, checkFile(f)...)
		if f.test && strings.HasSuffix(f.ast.Name.Name, "_test") && f.pkg != "." {
			continue
		}
		if first[f.pkg] == nil || first[f.pkg].test {
			first[f.pkg] = f
		}
		commented[f.pkg] = commented[f.pkg] || f.ast.Doc != nil
	}
	for pkg, f := range first {
		if !commented[pkg] {
			found = append(found, f.at(f.ast.Package, "package %s has no package comment", pkg))
		}
		if slices.Contains(shapeless, path.Base(pkg)) {
			found = append(found, f.at(f.ast.Package, "package %s is named for nothing it provides", pkg))
		}
	}
	return found
}

func checkFile(f *goFile) (found []string) {
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			found = append(found, f.at(fn.Pos(), "init(): let node build it, in a place that can be read"))
		}
	}
	for _, spec := range f.ast.Imports {
		if importPath(spec) == "C" {
			found = append(found, f.at(spec.Pos(), "cgo stays off in what we ship"))
		}
	}
	found = append(found, checkSkips(f, f.ast, nil)...)
	if lines := f.fset.File(f.ast.Package).LineCount(); lines > maxLines && !ast.IsGenerated(f.ast) {
		found = append(found, fmt.Sprintf("%s: %d lines; more than %d usually hold two nouns", f.name, lines, maxLines))
	}
	return found
}

// checkSkips looks for tests that skip themselves. An action of a rapid model may:
// it has no effect then, and the model takes another. open are the names that are a
// testing.T, B, F or TB where n stands.
func checkSkips(f *goFile, n ast.Node, open []string) (found []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				found = append(found, checkSkips(f, n.Body, rename(open, n.Type))...)
			}
			return false
		case *ast.FuncLit:
			found = append(found, checkSkips(f, n.Body, rename(open, n.Type))...)
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && strings.HasPrefix(n.Sel.Name, "Skip") && slices.Contains(open, x.Name) {
				found = append(found, f.at(n.Pos(), "%s.%s: a test that may not run proves nothing: use a build tag", x.Name, n.Sel.Name))
			}
		}
		return true
	})
	return found
}

// rename adds a function's parameters that are tests, and takes out the names it reuses.
func rename(open []string, fn *ast.FuncType) []string {
	open = slices.Clone(open)
	for _, field := range fn.Params.List {
		kind := field.Type
		if star, ok := kind.(*ast.StarExpr); ok {
			kind = star.X
		}
		for _, name := range field.Names {
			open = slices.DeleteFunc(open, func(o string) bool { return o == name.Name })
			if packageOf(kind) == "testing" {
				open = append(open, name.Name)
			}
		}
	}
	return open
}

// packageOf returns the package of a qualified type, "" if it is none.
func packageOf(kind ast.Expr) string {
	if sel, ok := kind.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return x.Name
		}
	}
	return ""
}

// checkWords looks for patterns that may stand nowhere, and for the places of
// the machine it runs on.
func checkWords(tree map[string][]byte, here []string) (found []string) {
	for name, text := range tree {
		if bytes.IndexByte(text, 0) >= 0 || strings.HasPrefix(name, "testdata/rules/") {
			continue // not text, or the proof of these rules
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, w := range words {
				if strings.HasSuffix(name, w.only) && w.pattern.MatchString(line) && name != "tidy_test.go" {
					found = append(found, fmt.Sprintf("%s:%d: %q: %s", name, i+1, w.pattern.FindString(line), w.why))
				}
			}
			for _, h := range here {
				if strings.Contains(line, h) {
					found = append(found, fmt.Sprintf("%s:%d: names a folder of this machine", name, i+1))
				}
			}
		}
	}
	return found
}

// homes returns the checkout's folder and the one around it, as far as they are
// particular enough to be a leak.
func homes(root string) []string {
	places := []string{root + "/"}
	if around := filepath.Dir(root); strings.Count(around, "/") > 1 {
		places = append(places, around+"/")
	}
	return places
}

// checkModules counts what we depend on and wants every Go module in the tree
// to be ours.
func checkModules(tree map[string][]byte) (found []string) {
	direct := 0
	for name, text := range tree {
		if path.Base(name) != "go.mod" {
			continue
		}
		want := path.Join(modulePath, path.Dir(name))
		if got, _, _ := strings.Cut(strings.TrimPrefix(string(text), "module "), "\n"); got != want {
			found = append(found, fmt.Sprintf("%s: module %s, want %s", name, got, want))
		}
		if name == "go.mod" {
			direct = countDirect(string(text))
		}
	}
	if direct > maxDirect {
		found = append(found, fmt.Sprintf("go.mod: %d direct dependencies, at most %d", direct, maxDirect))
	}
	return found
}

var requirement = regexp.MustCompile(`^(require )?\s*[\w.-]+\.[\w./-]+ v\S+$`)

func countDirect(mod string) (n int) {
	for line := range strings.Lines(mod) {
		if requirement.MatchString(strings.TrimSpace(line)) { // an indirect one ends in a comment
			n++
		}
	}
	return n
}

// listTree returns the names of all files that a clone would hold.
func listTree(t *testing.T, tree fs.FS) (names []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains(made, d.Name()):
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readTree(t *testing.T, tree fs.FS) map[string][]byte {
	t.Helper()
	texts := map[string][]byte{}
	for _, name := range listTree(t, tree) {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = text
	}
	return texts
}

// parseArchive reads files written as "-- name --" lines and their content.
func parseArchive(text string) fs.FS {
	tree, name := fstest.MapFS{}, ""
	for line := range strings.Lines(text + "\n") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(n, " --") {
			name = strings.TrimSuffix(n, " --")
			tree[name] = &fstest.MapFile{}
		} else if name != "" {
			tree[name].Data = append(tree[name].Data, line...)
		}
	}
	return tree
}
