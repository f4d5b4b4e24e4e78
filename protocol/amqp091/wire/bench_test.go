package wire

import (
	"fmt"
	"testing"
)

func publishBytes(body int) []byte {
	p := Properties{ContentType: "text/plain", DeliveryMode: 2}
	b := AppendPublish(nil, 1, "orders", "orders.new.eu", false)
	b = AppendHeader(b, 1, p.Append(nil), uint64(body))
	return AppendBodyFrames(b, 1, make([]byte, body), DefaultFrameMax)
}

// scanPublish reads one publish as a connection does.
func scanPublish(in []byte, m *BasicPublish) (h ContentHeader, body []byte, n int) {
	f, n, err := ScanFrame(in, DefaultFrameMax)
	if err != nil {
		panic(err)
	}
	id, args, err := SplitMethod(f.Payload)
	if err != nil || id != IDBasicPublish {
		panic(id)
	}
	if err := m.Decode(args); err != nil {
		panic(err)
	}
	f, k, err := ScanFrame(in[n:], DefaultFrameMax)
	if err != nil {
		panic(err)
	}
	n += k
	if h, err = DecodeHeader(f.Payload); err != nil {
		panic(err)
	}
	if f, k, err = ScanFrame(in[n:], DefaultFrameMax); err != nil {
		panic(err)
	}
	return h, f.Payload, n + k
}

func BenchmarkPublishDecode(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			in := publishBytes(size)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			var m BasicPublish
			for b.Loop() {
				if _, body, _ := scanPublish(in, &m); len(body) != size {
					b.Fatal(len(body))
				}
			}
		})
	}
}

func BenchmarkDeliverEncode(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := Properties{ContentType: "text/plain", DeliveryMode: 2}
			props, body := Props(p.Append(nil)), make([]byte, size)
			exchange, key := []byte("orders"), []byte("orders.new.eu")
			dst := make([]byte, 0, 4096)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendDeliver(dst[:0], 1, "amq.ctag-0123456789abcdefghijkl", 7, false, exchange, key)
				dst = AppendHeader(dst, 1, props, uint64(size))
				dst = AppendBodyFrames(dst, 1, body, DefaultFrameMax)
			}
		})
	}
}

func BenchmarkAckDecode(b *testing.B) {
	in := AppendAck(nil, 1, 77, true)
	b.ReportAllocs()
	var m BasicAck
	for b.Loop() {
		f, _, _ := ScanFrame(in, DefaultFrameMax)
		_, args, _ := SplitMethod(f.Payload)
		if m.Decode(args) != nil || m.DeliveryTag != 77 {
			b.Fatal(m)
		}
	}
}

func BenchmarkHeadersLookup(b *testing.B) {
	body := everyValue().AppendBody(nil)
	b.ReportAllocs()
	for b.Loop() {
		if v, ok := Lookup(body, "u"); !ok || v.Kind() != KindUint16 {
			b.Fatal(v)
		}
	}
}

func BenchmarkHeadersValidate(b *testing.B) {
	body := everyValue().AppendBody(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := ValidateTable(body); err != nil {
			b.Fatal(err)
		}
	}
}

// TestHotPathsDoNotAllocate holds what the benchmarks show.
func TestHotPathsDoNotAllocate(t *testing.T) {
	in := publishBytes(1024)
	headers := everyValue().AppendBody(nil)
	p := Properties{Headers: everyValue(), Expiration: "1000", Priority: 3, DeliveryMode: 2}
	props := Props(p.Append(nil))
	ack := AppendNack(AppendAck(nil, 1, 77, true), 1, 78, false, true)
	dst := make([]byte, 0, 8192)
	for name, f := range map[string]func(){
		"publish": func() {
			var m BasicPublish
			scanPublish(in, &m)
		},
		"settle": func() {
			var a BasicAck
			var n BasicNack
			f, size, _ := ScanFrame(ack, DefaultFrameMax)
			_ = a.Decode(f.Payload[4:])
			f, _, _ = ScanFrame(ack[size:], DefaultFrameMax)
			_ = n.Decode(f.Payload[4:])
		},
		"deliver": func() {
			dst = AppendDeliver(dst[:0], 1, "tag", 7, false, in[:3], in[:9])
			dst = AppendHeader(dst, 1, props, 1024)
			dst = AppendBodyFrames(dst, 1, in[:1024], DefaultFrameMax)
			dst = AppendNack(AppendAck(dst, 1, 7, true), 1, 8, false, true)
			r := BasicReturn{ReplyCode: CodeNoRoute, ReplyText: in[:3]}
			dst = r.AppendFrame(dst, 1)
			g := BasicGetOK{DeliveryTag: 1}
			dst = AppendHeartbeat(g.AppendFrame(dst, 1))
		},
		"headers": func() {
			_ = ValidateTable(headers)
			v, _ := Lookup(headers, "x")
			_, _ = v.Bytes()
		},
		"props": func() {
			_ = props.Validate()
			touch(props)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
