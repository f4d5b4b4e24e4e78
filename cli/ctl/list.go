package ctl

import (
	"iter"
	"slices"
	"strings"
)

// A column is one piece of what there is to know about a T.
type column[T any] struct {
	name string
	of   func(*T) any
}

// choose returns the columns that were named as arguments, or the defaults. It
// is a verb's check, too.
func choose[T any](c *call, all []column[T], defaults ...string) ([]column[T], error) {
	wanted := slices.DeleteFunc(splitAll(c.args), func(s string) bool { return s == "" })
	if len(wanted) == 0 {
		wanted = defaults
	}
	var out []column[T]
	var bad []string
	for _, name := range wanted {
		i := slices.IndexFunc(all, func(x column[T]) bool { return x.name == name })
		if i < 0 {
			bad = append(bad, name)
			continue
		}
		out = append(out, all[i])
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return nil, c.invalid(exitUsage, "Info key(s) %s are not supported", strings.Join(slices.Compact(bad), ","))
	}
	return out, nil
}

// splitAll takes columns apart that are given with commas.
func splitAll(args []string) (out []string) {
	for _, a := range args {
		out = append(out, strings.Split(a, ",")...)
	}
	return out
}

// list prints a list as it comes.
func list[T any](c *call, cols []column[T], items iter.Seq2[T, error]) error {
	names := make([]string, len(cols))
	for i, x := range cols {
		names[i] = x.name
	}
	cells := make([]any, len(cols))
	opened := false
	for item, err := range items {
		if err != nil {
			if opened {
				c.form.close()
			}
			return err
		}
		if !opened {
			c.form.open(names, c.verb.blank)
			opened = true
		}
		for i, x := range cols {
			cells[i] = x.of(&item)
		}
		c.form.row(cells)
	}
	if !opened {
		c.form.open(names, c.verb.blank)
	}
	c.form.close()
	return nil
}
