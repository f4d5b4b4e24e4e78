package step_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/step"
)

// Every name of the table stands in the product, and in the table once.
func TestNamesAreUsed(t *testing.T) {
	names := map[step.Name]bool{}
	for _, n := range step.Names() {
		if names[n] {
			t.Errorf("%s is in the table twice", n)
		}
		names[n] = true
	}
	consts := constants(t)
	for c, n := range consts {
		if !names[n] {
			t.Errorf("%s is not in the table", c)
		}
	}
	if len(consts) != len(names) {
		t.Errorf("%d names in the table, %d constants", len(names), len(consts))
	}
	used := uses(t, "../..")
	for c, n := range consts {
		if !slices.Contains(used, c) {
			t.Errorf("no code says that it has come to %s (%s)", n, c)
		}
	}
}

// constants are the names of step.go, by the identifier.
func constants(t *testing.T) map[string]step.Name {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "step.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]step.Name{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Name" {
			lit, ok := v.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no text", v.Names[0].Name)
			}
			out[v.Names[0].Name] = step.Name(strings.Trim(lit.Value, `"`))
		}
		return true
	})
	return out
}

// uses are the identifiers X of all calls step.At(step.X) of the product.
func uses(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || path != root && strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || !of(c.Fun, "At") || len(c.Args) != 1 {
				return true
			}
			if a, ok := c.Args[0].(*ast.SelectorExpr); ok {
				names = append(names, a.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// of reports whether an expression is a name of package step.
func of(x ast.Expr, name string) bool {
	s, ok := x.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	p, ok := s.X.(*ast.Ident)
	return ok && p.Name == "step"
}
