package remote

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Generators of what frames carry.

func anyU64() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300), rapid.SampledFrom([]uint64{0, 1<<63 - 1, 1 << 63, 1<<64 - 1}))
}

func anyTarget() *rapid.Generator[Target] {
	return rapid.Custom(func(t *rapid.T) Target { return Target(anyU64().Draw(t, "target")) })
}

func anyHolding() *rapid.Generator[queue.Holding] {
	return rapid.Custom(func(t *rapid.T) queue.Holding {
		return queue.Holding{Epoch: rapid.Uint64Range(0, 2).Draw(t, "epoch"), Term: rapid.Uint64Range(0, 3).Draw(t, "term"), Counter: anyU64().Draw(t, "counter")}
	})
}

func anySettle() *rapid.Generator[shard.Settle] {
	return rapid.Custom(func(t *rapid.T) shard.Settle {
		return shard.Settle{
			Queue: rapid.Uint64Range(0, 3).Draw(t, "queue"), Seq: anyU64().Draw(t, "seq"), Holding: anyHolding().Draw(t, "holding"),
			Outcome: shard.Outcome(rapid.IntRange(0, int(shard.Abandon)).Draw(t, "outcome")),
		}
	})
}

func anyClaim() *rapid.Generator[shard.Claim] {
	return rapid.Custom(func(t *rapid.T) shard.Claim {
		return shard.Claim{
			Queue: rapid.Uint64Range(0, 3).Draw(t, "queue"), Seq: anyU64().Draw(t, "seq"), Holding: anyHolding().Draw(t, "holding"),
			Size: rapid.Uint32().Draw(t, "size"), Acquired: rapid.Uint16().Draw(t, "acquired"), Session: rapid.Uint64Range(0, 2).Draw(t, "session"), Consumer: rapid.Uint64Range(0, 2).Draw(t, "consumer"),
		}
	})
}

func anyBlob() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 1, 40) }

func anySpec() *rapid.Generator[spec] {
	return rapid.Custom(func(t *rapid.T) spec {
		return spec{
			id: anyU64().Draw(t, "id"), queue: anyU64().Draw(t, "queue"), session: anyU64().Draw(t, "session"),
			noAck: rapid.Bool().Draw(t, "noAck"), exclusive: rapid.Bool().Draw(t, "exclusive"), priority: rapid.Int32().Draw(t, "priority"),
			prefetch: rapid.Uint32().Draw(t, "prefetch"), window: rapid.Uint32().Draw(t, "window"), grant: rapid.Uint32().Draw(t, "grant"),
			label: anyBlob().Draw(t, "label"),
		}
	})
}

func anyDelivery() *rapid.Generator[shard.Delivery] {
	return rapid.Custom(func(t *rapid.T) shard.Delivery {
		return shard.Delivery{
			Seq: anyU64().Draw(t, "seq"), Holding: queue.Holding{Counter: anyU64().Draw(t, "counter")},
			Redelivered: rapid.Bool().Draw(t, "redelivered"), Acquired: rapid.Uint16().Draw(t, "acquired"), Failed: rapid.Uint16().Draw(t, "failed"),
			Size: rapid.Uint32().Draw(t, "size"), Blob: anyBlob().Draw(t, "blob"),
		}
	})
}

func anyCounts() *rapid.Generator[shard.Counts] {
	return rapid.Custom(func(t *rapid.T) shard.Counts {
		return shard.Counts{
			Ready: anyU64().Draw(t, "ready"), Unacked: anyU64().Draw(t, "unacked"), ReadyBytes: anyU64().Draw(t, "readyBytes"),
			Bytes: anyU64().Draw(t, "bytes"), Consumers: int(rapid.Uint32().Draw(t, "consumers")), Letters: anyU64().Draw(t, "letters"),
		}
	})
}

// same fails unless what came back is what was sent, and an empty slice is none.
func same[T any](t *rapid.T, what string, sent, got T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !reflect.DeepEqual(sent, got) {
		t.Fatalf("%s: sent %+v, got %+v", what, sent, got)
	}
}

func some[T any](xs []T) []T {
	if len(xs) == 0 {
		return nil
	}
	return xs
}

func TestSmallFramesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := hello{queue.Incarnation{Node: anyU64().Draw(t, "node"), Number: anyU64().Draw(t, "number")}, anyU64().Draw(t, "revision")}
		h2, err := parseHello(appendHello(nil, h))
		same(t, "hello", h, h2, err)

		l := lead{anyTarget().Draw(t, "target"), anyU64().Draw(t, "term")}
		l2, err := parseLead(appendLead(nil, l))
		same(t, "lead", l, l2, err)

		n := numbered{anyTarget().Draw(t, "target"), anyU64().Draw(t, "n")}
		n2, err := parseNumbered(appendNumbered(nil, n), "settled")
		same(t, "numbered", n, n2, err)

		oc := ofConsumer{anyTarget().Draw(t, "target"), anyU64().Draw(t, "id"), anyU64().Draw(t, "n")}
		oc2, err := parseOfConsumer(appendOfConsumer(nil, oc), "grant")
		same(t, "of consumer", oc, oc2, err)

		c := consume{anyTarget().Draw(t, "target"), anyU64().Draw(t, "req"), anySpec().Draw(t, "spec")}
		c2, err := parseConsume(appendConsume(nil, &c))
		same(t, "consume", c, c2, err)

		a := ask{anyTarget().Draw(t, "target"), anyU64().Draw(t, "req"), op(rapid.IntRange(1, int(ops)-1).Draw(t, "op")), anyU64().Draw(t, "queue"), anyU64().Draw(t, "arg")}
		a2, err := parseAsk(appendAsk(nil, &a))
		same(t, "ask", a, a2, err)

		p := reply{anyTarget().Draw(t, "target"), anyU64().Draw(t, "req"), uint8(rapid.IntRange(0, int(codes)-1).Draw(t, "code")), anyBlob().Draw(t, "payload")}
		p2, err := parseReply(appendReply(nil, &p))
		same(t, "reply", p, p2, err)

		k := anyCounts().Draw(t, "counts")
		k2, err := parseCounts(appendCounts(nil, &k))
		same(t, "counts", k, k2, err)

		g := shard.GetResult{Delivery: anyDelivery().Draw(t, "got"), Empty: rapid.Bool().Draw(t, "empty"), Remaining: anyU64().Draw(t, "remaining")}
		g.Holding = anyHolding().Draw(t, "holding")
		g2, err := parseGot(append(appendGot(nil, &g), g.Blob...))
		same(t, "got", g, g2, err)

		x := inspect{anyTarget().Draw(t, "target"), anyU64().Draw(t, "req"), rapid.Bool().Draw(t, "consumers"), some(rapid.SliceOf(anyU64()).Draw(t, "ids"))}
		x2, err := parseInspect(appendInspect(nil, &x))
		same(t, "inspect", x, x2, err)

		b := browse{anyTarget().Draw(t, "target"), anyU64().Draw(t, "req"), anyU64().Draw(t, "id"), rapid.Bool().Draw(t, "first"), anyU64().Draw(t, "queue"), rapid.Uint32().Draw(t, "messages"), rapid.Uint32().Draw(t, "bytes")}
		b2, err := parseBrowse(appendBrowse(nil, &b))
		same(t, "browse", b, b2, err)
	})
}

func TestSettlesAndAttachesComeBack(t *testing.T) {
	var s2 settles
	var a2 attach
	rapid.Check(t, func(t *rapid.T) {
		s := settles{anyTarget().Draw(t, "target"), anyU64().Draw(t, "upTo"), rapid.Bool().Draw(t, "flush"), some(rapid.SliceOf(anySettle()).Draw(t, "settles"))}
		err := parseSettleFrame(appendSettleFrame(nil, &s), &s2)
		got := s2
		got.ss = some(got.ss)
		same(t, "settle", s, got, err)

		a := attach{
			target: anyTarget().Draw(t, "target"), id: anyU64().Draw(t, "id"), term: anyU64().Draw(t, "term"), first: rapid.Bool().Draw(t, "first"), end: rapid.Bool().Draw(t, "end"),
			specs: some(rapid.SliceOf(anySpec()).Draw(t, "specs")), claims: some(rapid.SliceOf(anyClaim()).Draw(t, "claims")),
		}
		err = parseAttach(appendAttach(nil, &a), &a2)
		back := a2
		back.specs, back.claims = some(back.specs), some(back.claims)
		same(t, "attach", a, back, err)
	})
}

// A run is n deliveries of one life; what comes back has its epoch and term.
func TestDeliveriesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target, revision := anyTarget().Draw(t, "target"), anyU64().Draw(t, "revision")
		type run struct {
			h  runHead
			ds []shard.Delivery
		}
		frame := appendDeliverHead(nil, target, revision)
		var sent, got []run
		for range rapid.IntRange(0, 4).Draw(t, "runs") {
			ds := rapid.SliceOfN(anyDelivery(), 1, 5).Draw(t, "deliveries")
			h := runHead{anyU64().Draw(t, "consumer"), anyU64().Draw(t, "ordinal"), len(ds), anyU64().Draw(t, "epoch"), anyU64().Draw(t, "term")}
			frame = appendRunHead(frame, h)
			var p deliveryBase
			for i := range ds {
				ds[i].Holding.Epoch, ds[i].Holding.Term = h.epoch, h.term
				frame = append(p.append(frame, &ds[i]), ds[i].Blob...)
			}
			sent = append(sent, run{h, ds})
		}
		r, err := readDeliver(frame)
		if err != nil || r.target != target || r.revision != revision {
			t.Fatalf("head %v %d: %v", r.target, r.revision, err)
		}
		for {
			var x run
			var ok bool
			x.ds, ok, err = r.next(&x.h, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got = append(got, x)
		}
		same(t, "deliver", sent, got, nil)
	})
}

func TestAnswersComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOf(rapid.Custom(func(t *rapid.T) answer {
			a := answer{number: anyU64().Draw(t, "number"), what: uint8(rapid.IntRange(0, 2).Draw(t, "what"))}
			last := int64(-1)
			for range rapid.IntRange(0, 5).Draw(t, "refused") {
				if last += rapid.Int64Range(1, 1<<20).Draw(t, "gap"); last < 1<<32 {
					a.refused = append(a.refused, uint32(last))
				}
			}
			return a
		})).Draw(t, "answers")
		frame := appendTarget(nil, 7)
		for i := range sent {
			frame = appendAnswer(frame, &sent[i])
		}
		r := reader{b: frame}
		r.target()
		var got []answer
		for {
			var a answer
			ok, err := r.answer(&a, 3)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			a.refused = some(a.refused)
			got = append(got, a)
		}
		same(t, "answers", some(sent), got, nil)
	})
}

func TestLooksComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOf(rapid.Custom(func(t *rapid.T) seen {
			s := seen{id: anyU64().Draw(t, "id"), counts: anyCounts().Draw(t, "counts"), single: rapid.Bool().Draw(t, "single"), only: -1}
			for range rapid.IntRange(0, 3).Draw(t, "consumers") {
				s.consumers = append(s.consumers, seenConsumer{queue.Incarnation{Node: anyU64().Draw(t, "node"), Number: anyU64().Draw(t, "number")}, anySpec().Draw(t, "spec")})
			}
			if n := len(s.consumers); n > 0 && rapid.Bool().Draw(t, "only") {
				s.only = rapid.IntRange(0, n-1).Draw(t, "which")
			}
			return s
		})).Draw(t, "seen")
		var frame []byte
		for i := range sent {
			frame = appendSeen(frame, &sent[i])
		}
		got, err := parseSeen(frame)
		same(t, "seen", some(sent), got, err)

		p := shard.BrowsePart{End: rapid.Bool().Draw(t, "end"), Gone: some(rapid.SliceOf(anyU64()).Draw(t, "gone"))}
		for range rapid.IntRange(0, 3).Draw(t, "messages") {
			m := shard.Browsed{
				Blob: anyBlob().Draw(t, "blob"), Seq: anyU64().Draw(t, "seq"), Priority: rapid.Byte().Draw(t, "priority"), Redelivered: rapid.Bool().Draw(t, "redelivered"),
				Acquired: rapid.Uint16().Draw(t, "acquired"), Failed: rapid.Uint16().Draw(t, "failed"), HasTTL: rapid.Bool().Draw(t, "hasTTL"),
			}
			if m.HasTTL {
				m.TTL = rapid.Uint32().Draw(t, "ttl")
			}
			p.Messages = append(p.Messages, m)
		}
		p2, err := parsePart(appendPart(nil, &p))
		same(t, "part", p, p2, err)
	})
}

// What a node of another version says is not guessed at.
func TestOtherVersionIsRefused(t *testing.T) {
	b := appendHello(nil, hello{})
	b[0]++
	if _, err := parseHello(b); !errors.Is(err, ErrFrame) {
		t.Fatalf("got %v", err)
	}
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	for code := range codes {
		if got := codeOf(errorOf(code)); got != code {
			t.Errorf("code %d comes back as %d", code, got)
		}
	}
}

// A count that is far beyond what arrived makes nothing grow.
func TestCountsAreHeldAgainstWhatArrived(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}
	frames := map[string]func(tail []byte) error{
		"settle": func(tail []byte) error {
			return parseSettleFrame(append([]byte{1, 1, 0}, tail...), &settles{})
		},
		"attach":  func(tail []byte) error { return parseAttach(append([]byte{1, 1, 1, 0}, tail...), &attach{}) },
		"inspect": func(tail []byte) error { _, err := parseInspect(append([]byte{1, 1, 0}, tail...)); return err },
		"part":    func(tail []byte) error { _, err := parsePart(append([]byte{0}, tail...)); return err },
	}
	for name, parse := range frames {
		if err := parse(huge); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(5, func() { _ = parse(huge) }); n > 12 {
			t.Errorf("%s: %v allocations for a lie", name, n)
		}
	}
}

// FuzzFrames feeds every decoder. What is decoded and encoded again has to
// decode to the same.
func FuzzFrames(f *testing.F) {
	f.Add(uint8(0), appendHello(nil, hello{queue.Incarnation{Node: 1, Number: 2}, 3}))
	s := settles{target: 7, upTo: 9, ss: []shard.Settle{{Queue: 1, Seq: 5, Holding: queue.Holding{Term: 3, Counter: 8}}, {Queue: 2, Seq: 4, Outcome: shard.Abandon}}}
	f.Add(uint8(1), appendSettleFrame(nil, &s))
	f.Add(uint8(2), appendAttach(nil, &attach{target: 7, id: 1, first: true, specs: []spec{{id: 1, label: []byte("x")}}, claims: []shard.Claim{{Queue: 1, Seq: 5, Consumer: 1}}}))
	f.Add(uint8(3), appendConsume(nil, &consume{target: 7, req: 3, spec: spec{id: 2}}))
	f.Add(uint8(4), appendAsk(nil, &ask{7, 3, opPurge, 1, 0}))
	f.Add(uint8(5), appendReply(nil, &reply{7, 3, codeGone, nil}))
	f.Add(uint8(6), append(appendGot(nil, &shard.GetResult{Delivery: shard.Delivery{Seq: 4}}), 'm'))
	f.Add(uint8(7), appendInspect(nil, &inspect{7, 3, true, []uint64{1, 2}}))
	f.Add(uint8(8), appendBrowse(nil, &browse{7, 3, 1, true, 1, 10, 100}))
	f.Add(uint8(9), appendPart(nil, &shard.BrowsePart{Messages: []shard.Browsed{{Blob: []byte("m")}}}))
	f.Add(uint8(10), appendSeen(nil, &seen{id: 1, only: 0, consumers: []seenConsumer{{}}}))
	d := shard.Delivery{Blob: []byte("m"), Seq: 4, Acquired: 1}
	f.Add(uint8(11), append(new(deliveryBase).append(appendRunHead(appendDeliverHead(nil, 7, 1), runHead{consumer: 1, n: 1}), &d), 'm'))
	f.Add(uint8(12), appendAnswer(appendTarget(nil, 7), &answer{4, 0, []uint32{1, 3}}))
	f.Add(uint8(13), appendOfConsumer(nil, ofConsumer{1, 2, 3}))
	f.Add(uint8(14), appendLead(nil, lead{1, 2}))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		decode := decoders()[int(kind)%len(decoders())]
		first, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		second, err := decode(first)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%x becomes %x, then %x: %v", b, first, second, err)
		}
	})
}

// again is a decoder followed by its encoder.
func again[T any](parse func([]byte) (T, error), encode func([]byte, *T) []byte) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		x, err := parse(b)
		if err != nil {
			return nil, err
		}
		return encode(nil, &x), nil
	}
}

func decoders() []func([]byte) ([]byte, error) {
	return []func([]byte) ([]byte, error){
		again(parseHello, func(dst []byte, h *hello) []byte { return appendHello(dst, *h) }),
		again(func(b []byte) (s settles, err error) { err = parseSettleFrame(b, &s); return s, err }, appendSettleFrame),
		again(func(b []byte) (a attach, err error) { err = parseAttach(b, &a); return a, err }, appendAttach),
		again(parseConsume, appendConsume),
		again(parseAsk, appendAsk),
		again(parseReply, appendReply),
		again(parseGot, func(dst []byte, g *shard.GetResult) []byte { return append(appendGot(dst, g), g.Blob...) }),
		again(parseInspect, appendInspect),
		again(parseBrowse, appendBrowse),
		again(parsePart, appendPart),
		again(parseSeen, func(dst []byte, ss *[]seen) []byte {
			for i := range *ss {
				dst = appendSeen(dst, &(*ss)[i])
			}
			return dst
		}),
		againDeliver,
		againAnswers,
		again(func(b []byte) (ofConsumer, error) { return parseOfConsumer(b, "grant") }, func(dst []byte, c *ofConsumer) []byte { return appendOfConsumer(dst, *c) }),
		again(parseLead, func(dst []byte, l *lead) []byte { return appendLead(dst, *l) }),
	}
}

func againDeliver(b []byte) ([]byte, error) {
	r, err := readDeliver(b)
	if err != nil {
		return nil, err
	}
	out := appendDeliverHead(nil, r.target, r.revision)
	for {
		var h runHead
		ds, ok, err := r.next(&h, nil)
		if err != nil || !ok {
			return out, err
		}
		out = appendRunHead(out, h)
		var p deliveryBase
		for i := range ds {
			out = append(p.append(out, &ds[i]), ds[i].Blob...)
		}
	}
}

func againAnswers(b []byte) ([]byte, error) {
	r := reader{b: b}
	out := appendTarget(nil, r.target())
	var a answer
	for {
		ok, err := r.answer(&a, 3)
		if err != nil || !ok {
			return out, err
		}
		out = appendAnswer(out, &a)
	}
}
