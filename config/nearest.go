package config

import "strings"

// nearest returns the key that a wrong one was most likely meant to be, or "".
func nearest(table []Key, wrong string) string {
	wrong = strings.ToLower(strings.ReplaceAll(wrong, "-", "_"))
	best, bestDistance := "", len(wrong)/3+2
	for _, k := range table {
		d := distance(wrong, k.Name)
		if _, last, ok := strings.Cut(k.Name, "."); ok && last == wrong {
			d = 1 // the right word without its section
		}
		if d < bestDistance {
			best, bestDistance = k.Name, d
		}
	}
	return best
}

// distance is how many letters must be put in, taken out, changed or swapped
// with their neighbour to make a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
