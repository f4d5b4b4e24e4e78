package warren_test

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const proofs = "docs/proofs.md"

var (
	// A proofRow of the list: an item, an invariant or the number of a behaviour, and
	// whether it is proved now.
	proofRow = regexp.MustCompile(`(?m)^\| ([XI]?\d+) \|.*\| (now|later)\b[^|]*\|$`)
	anItem   = regexp.MustCompile(`\b[XI]\d+\b`)
	// behaviours are named one by one, or several in a sentence.
	oneBehaviour   = regexp.MustCompile(`(?i)\bbehaviour (\d+)\b`)
	someBehaviours = regexp.MustCompile(`(?is)\bbehaviours ([^.:]*)`)
	aNumber        = regexp.MustCompile(`\b\d+\b`)
)

func TestProofs(t *testing.T) {
	text, err := os.ReadFile(proofs)
	if err != nil {
		t.Fatal(err)
	}
	report(t, checkProofs(parseTree(t, os.DirFS(".")), string(text)))
}

// checkProofs holds the list of what tests prove to what tests say they prove, both
// ways.
func checkProofs(files []*goFile, doc string) (found []string) {
	proved := map[string]string{} // and where first
	for _, f := range files {
		if !f.test {
			continue
		}
		for _, c := range f.ast.Comments {
			if testOf(f, c) == nil {
				continue
			}
			for _, name := range named(c.Text()) {
				if proved[name] == "" {
					proved[name] = f.at(c.Pos(), "%s", name)
				}
			}
		}
	}
	rows := map[string]bool{}
	for _, row := range proofRow.FindAllStringSubmatch(doc, -1) {
		rows[row[1]] = true
		if row[2] == "now" && proved[row[1]] == "" {
			found = append(found, fmt.Sprintf("%s: no test names %s", proofs, row[1]))
		}
	}
	if len(rows) == 0 {
		found = append(found, proofs+": has no rows")
	}
	for _, name := range slices.Sorted(maps.Keys(proved)) {
		if !rows[name] {
			found = append(found, proved[name]+" is not in "+proofs)
		}
	}
	return found
}

// testOf returns the test or fuzz target that a comment is on or in, nil if there is
// none.
func testOf(f *goFile, c *ast.CommentGroup) *ast.FuncDecl {
	for _, decl := range f.ast.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		if fn.Doc == c || fn.Pos() < c.Pos() && c.Pos() < fn.End() {
			return fn
		}
	}
	return nil
}

// named returns the rows that a comment names.
func named(text string) []string {
	names := anItem.FindAllString(text, -1)
	for _, m := range oneBehaviour.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	for _, m := range someBehaviours.FindAllStringSubmatch(text, -1) {
		paragraph, _, _ := strings.Cut(m[1], "\n\n")
		names = append(names, aNumber.FindAllString(paragraph, -1)...)
	}
	return names
}
