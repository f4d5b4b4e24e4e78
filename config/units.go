package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseSize reads 4096, 64KiB, 256MiB, 2GiB, 1.5GiB, or the same in powers of
// ten (MB). A bare number is bytes.
func ParseSize(s string) (int64, error) {
	bad := fmt.Errorf("%q must be a size, as 64KiB, 256MiB or 2GiB", s)
	digits := strings.TrimRight(s, "BKMGTkmgtbi ")
	unit := strings.ToLower(strings.TrimSpace(s[len(digits):]))
	var scale float64
	switch strings.TrimSuffix(unit, "b") {
	case "":
		scale = 1
	case "k":
		scale = 1e3
	case "m":
		scale = 1e6
	case "g":
		scale = 1e9
	case "t":
		scale = 1e12
	case "ki":
		scale = 1 << 10
	case "mi":
		scale = 1 << 20
	case "gi":
		scale = 1 << 30
	case "ti":
		scale = 1 << 40
	default:
		return 0, bad
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(digits, "_", ""), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*scale >= 1<<62 {
		return 0, bad
	}
	return int64(v * scale), nil
}

// formatSize writes a size so that ParseSize reads the same.
func formatSize(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration drops the zero parts that Duration.String writes.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
