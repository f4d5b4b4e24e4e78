package warren_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loggers are the names under which code holds a logger, or what returns one.
var loggers = []string{"log", "Logger", "loudly", "logger"}

// before is how many arguments stand before the first key of a method that logs.
var before = map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "Log": 3}

// A listed key stands in a table whose rows begin with it, or with several.
var listed = regexp.MustCompile("(?m)^\\| ((?:`[a-z_]+`(?:, )?)+) \\|")

func TestLogging(t *testing.T) {
	text, err := os.ReadFile("docs/logging.md")
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkLogging(parseTree(t, os.DirFS(".")), string(text)))
}

// checkLogging holds the list of keys in doc to what the code logs, both ways.
func checkLogging(files []*goFile, doc string) (found []string) {
	used := map[string]string{} // and where first
	for _, f := range files {
		if f.support() || slices.Contains([]string{"test", "tools"}, strings.Split(f.pkg, "/")[0]) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				found = append(found, logCall(f, call, used)...)
			}
			return true
		})
	}
	known := map[string]bool{}
	for _, row := range listed.FindAllStringSubmatch(doc, -1) {
		for key := range strings.SplitSeq(row[1], ", ") {
			known[strings.Trim(key, "`")] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		if !known[key] {
			found = append(found, fmt.Sprintf("%s: the key %q is not in docs/logging.md", used[key], key))
		}
		delete(known, key)
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		found = append(found, fmt.Sprintf("docs/logging.md: nothing logs the key %q", key))
	}
	return found
}

// logCall notes the keys of a call that logs.
func logCall(f *goFile, call *ast.CallExpr, used map[string]string) (found []string) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	skip, logs := before[method.Sel.Name]
	if !logs || !slices.Contains(loggers, lastName(method.X)) {
		return nil
	}
	for i := skip; i < len(call.Args); i += 2 {
		at := f.at(call.Args[i].Pos(), "a key")
		lit, ok := call.Args[i].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			found = append(found, at+" is not a constant in its place")
			continue
		}
		key, err := strconv.Unquote(lit.Value)
		if err != nil {
			found = append(found, at+" cannot be read")
			continue
		}
		if _, ok := used[key]; !ok {
			used[key] = strings.TrimSuffix(at, ": a key")
		}
	}
	return found
}

// lastName is the name nearest to the method: log of c.log and of o.log().
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return lastName(e.Fun)
	}
	return ""
}
