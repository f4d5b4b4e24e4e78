package cli

import (
	"math/bits"
	"time"
)

// subBits is how finely a power of two is divided: 64 parts, so that a reported
// percentile is within 1.6 % of the true one.
const subBits = 6

// A hist is a log-linear histogram of durations. It is used by one goroutine;
// several are added up.
type hist struct {
	n       uint64
	max     int64
	buckets [(64 - subBits + 1) << subBits]uint64
}

func bucketOf(v int64) int {
	u := uint64(max(v, 0))
	if u < 1<<subBits {
		return int(u)
	}
	e := bits.Len64(u) - subBits - 1
	return e<<subBits + int(u>>e)
}

// bucketTop is the greatest value in bucket i.
func bucketTop(i int) int64 {
	if i < 2<<subBits {
		return int64(i)
	}
	e := i>>subBits - 1
	return (int64(i-e<<subBits)+1)<<e - 1
}

func (h *hist) add(d time.Duration) {
	h.buckets[bucketOf(int64(d))]++
	h.n++
	h.max = max(h.max, int64(d))
}

func (h *hist) merge(o *hist) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile returns the value that the share q of all is at or below.
func (h *hist) quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	want := min(uint64(q*float64(h.n)), h.n-1)
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen > want {
			return time.Duration(min(bucketTop(i), h.max))
		}
	}
	return time.Duration(h.max)
}

// latency is a histogram's summary, in milliseconds.
type latency struct {
	N    uint64  `json:"n"`
	P50  float64 `json:"p50_ms"`
	P95  float64 `json:"p95_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

func (h *hist) summary() latency {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return latency{h.n, ms(h.quantile(.50)), ms(h.quantile(.95)), ms(h.quantile(.99)), ms(h.quantile(.999)), ms(time.Duration(h.max))}
}
