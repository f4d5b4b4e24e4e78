package ctl

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

func watermarkVerbs() []verb {
	return []verb{
		{
			name: "set_vm_memory_high_watermark", tools: ctl | diagnostics, group: configurationGroup, min: 1, max: 2, timeout: listTime,
			short: "Sets the memory above which publishers wait", usage: "<fraction> | absolute <value>",
			check: func(c *call) error { _, err := c.memoryWatermark(); return err },
			banner: func(c *call) string {
				if len(c.args) == 2 {
					return fmt.Sprintf("Setting memory threshold on %s to %s bytes ...", c.self.Node, c.args[1])
				}
				return fmt.Sprintf("Setting memory threshold on %s to %s ...", c.self.Node, c.args[0])
			},
			run: func(c *call) error {
				q, err := c.memoryWatermark()
				if err == nil {
					_, err = c.node.SetMemoryHighWatermark(c.ctx, q)
				}
				return err
			},
		},
		{
			name: "set_disk_free_limit", tools: ctl | diagnostics, group: configurationGroup, min: 1, max: 2, timeout: listTime,
			short: "Sets the free disk space below which publishers wait", usage: "<disk_limit> | mem_relative <fraction>",
			check: func(c *call) error { _, err := c.diskLimit(); return err },
			banner: func(c *call) string {
				if len(c.args) == 2 {
					return fmt.Sprintf("Setting disk free limit on %s to %s times the total RAM ...", c.self.Node, c.args[1])
				}
				return fmt.Sprintf("Setting disk free limit on %s to %s bytes ...", c.self.Node, c.args[0])
			},
			run: func(c *call) error {
				q, err := c.diskLimit()
				if err == nil {
					_, err = c.node.SetDiskFreeLimit(c.ctx, q)
				}
				return err
			},
		},
	}
}

// memoryWatermark reads a fraction, or bytes behind "absolute".
func (c *call) memoryWatermark() (q client.MemoryHighWatermark, err error) {
	switch {
	case c.args[0] == "absolute" && len(c.args) == 1:
		return q, c.invalid(exitUsage, "not enough arguments.")
	case c.args[0] == "absolute":
		q.Bytes, err = c.size(c.args[1])
		return q, err
	case len(c.args) == 2:
		return q, c.invalid(exitUsage, "too many arguments.")
	}
	f, err := strconv.ParseFloat(c.args[0], 64)
	if err != nil {
		return q, c.invalid(exitData, "Bad argument: '%s' is no number", c.args[0])
	}
	if !(f >= 0 && f <= 1) {
		return q, c.invalid(exitData, "Bad argument: The threshold should be a fraction between 0.0 and 1.0")
	}
	q.Fraction = &f
	return q, nil
}

// diskLimit reads bytes, or a multiple of the memory behind "mem_relative".
func (c *call) diskLimit() (q client.DiskFreeLimit, err error) {
	switch {
	case c.args[0] == "mem_relative" && len(c.args) == 1:
		return q, c.invalid(exitUsage, "not enough arguments.")
	case c.args[0] == "mem_relative":
		f, err := strconv.ParseFloat(c.args[1], 64)
		if err != nil || !(f >= 0) || math.IsInf(f, 0) {
			return q, c.invalid(exitData, "Bad argument: '%s' is no multiple of the memory", c.args[1])
		}
		q.MemoryFraction = &f
		return q, nil
	case len(c.args) == 2:
		return q, c.invalid(exitUsage, "too many arguments.")
	}
	q.Bytes, err = c.size(c.args[0])
	return q, err
}

// size reads bytes with RabbitMQ's units: kB, MB, GB and TB count in thousands;
// k, M, G, T, and those with an i, in 1024s.
func (c *call) size(text string) (int64, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := strings.ToLower(text[len(digits):])
	factor := 1.0
	if unit != "" && unit != "b" {
		at := strings.IndexByte("kmgt", unit[0])
		base, known := map[string]float64{"": 1024, "i": 1024, "ib": 1024, "b": 1000}[unit[1:]]
		if at < 0 || !known {
			return 0, c.invalid(exitData, "Bad argument: '%s' is no size: use bytes, or k, M, G, T, kB, MB, GB, TB, KiB, MiB, GiB, TiB", text)
		}
		factor = math.Pow(base, float64(at+1))
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(n >= 0) || n*factor >= math.MaxInt64 {
		return 0, c.invalid(exitData, "Bad argument: '%s' is no size", text)
	}
	return int64(n * factor), nil
}
