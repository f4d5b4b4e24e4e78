package message

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func messageGen() *rapid.Generator[Message] {
	return rapid.Custom(func(t *rapid.T) Message {
		part := rapid.SliceOfN(rapid.Byte(), 0, 200)
		m := Message{
			Protocol:    Protocol(rapid.IntRange(0, int(MQTT)).Draw(t, "protocol")),
			Durable:     rapid.Bool().Draw(t, "durable"),
			HasPriority: rapid.Bool().Draw(t, "has priority"),
			HasTTL:      rapid.Bool().Draw(t, "has ttl"),
			HasCreated:  rapid.Bool().Draw(t, "has created"),
			Exchange:    part.Draw(t, "exchange"),
			RoutingKey:  part.Draw(t, "key"),
			Properties:  part.Draw(t, "properties"),
			Body:        part.Draw(t, "body"),
			Overlay:     []byte{},
		}
		if m.HasPriority {
			m.Priority = rapid.Uint8().Draw(t, "priority")
		}
		if m.HasTTL {
			m.TTL = rapid.Uint64().Draw(t, "ttl")
		}
		if m.HasCreated {
			m.Created = rapid.Int64().Draw(t, "created")
		}
		return m
	})
}

func TestMessageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := messageGen().Draw(t, "message")
		blob := AppendTo([]byte("before"), &m)[len("before"):]
		if len(blob) != Size(&m) {
			t.Fatalf("%d bytes, Size says %d", len(blob), Size(&m))
		}
		pieces := append(AppendHead(nil, &m, len(m.Body)), m.Body...)
		if !bytes.Equal(pieces, blob) {
			t.Fatalf("in pieces %x, whole %x", pieces, blob)
		}
		got, err := Parse(blob)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, m)
		}
		for i := range blob {
			if _, err := Parse(blob[:i]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
	})
}

func TestOverlay(t *testing.T) {
	m := Message{Body: []byte("body"), HasTTL: true, TTL: 5}
	blob := AppendTo(nil, &m)
	plain := len(blob)
	blob = AppendOverlay(blob, OverlayNoTTL, nil)
	blob = AppendOverlay(blob, OverlayDeaths, []byte("one"))
	blob = AppendOverlay(blob, 99, []byte("from a later version"))
	blob = AppendOverlay(blob, OverlayDeaths, []byte("two"))
	got, err := Parse(blob)
	if err != nil || string(got.Body) != "body" || got.TTL != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	if p, ok := got.Overlaid(OverlayDeaths); !ok || string(p) != "two" {
		t.Errorf("deaths: %q %v", p, ok)
	}
	if p, ok := got.Overlaid(OverlayNoTTL); !ok || len(p) != 0 {
		t.Errorf("no ttl: %q %v", p, ok)
	}
	if _, ok := got.Overlaid(OverlayHeaders); ok {
		t.Error("headers out of nothing")
	}
	if !bytes.Equal(AppendTo(nil, &got), blob) {
		t.Error("the overlay is lost on the way")
	}
	if _, err := Parse(blob[:len(blob)-1]); !errors.Is(err, ErrMalformed) {
		t.Errorf("a cut overlay: %v", err)
	}
	if _, err := Parse(blob[:plain]); err != nil {
		t.Errorf("without overlay: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, blob := range map[string][]byte{
		"empty":         nil,
		"later version": {2, 0, 0, 0, 0, 0, 0},
		"unknown flag":  {1, 0, 0x80, 0, 0, 0, 0},
		"long varint":   {1, 0, 0, 0x80, 0, 0, 0, 0},
	} {
		if _, err := Parse(blob); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	blob := AppendTo(nil, &Message{RoutingKey: []byte("key"), Body: make([]byte, 1024)})
	var dst []byte
	n := testing.AllocsPerRun(100, func() {
		m, err := Parse(blob)
		if err != nil {
			t.Fatal(err)
		}
		dst = AppendTo(dst[:0], &m)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(AppendTo(nil, &Message{}))
	full := Message{
		Protocol: AMQP091, Durable: true, HasPriority: true, Priority: 9, HasTTL: true, TTL: 60000, HasCreated: true, Created: -1,
		Exchange: []byte("amq.topic"), RoutingKey: []byte("a.b"), Properties: []byte{0x80, 0}, Body: []byte("hello"),
	}
	f.Add(AppendOverlay(AppendTo(nil, &full), OverlayDeaths, []byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, blob []byte) {
		m, err := Parse(blob)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if again := AppendTo(nil, &m); !bytes.Equal(again, blob) {
			t.Fatalf("%x comes back as %x", blob, again)
		}
		m.Overlaid(OverlayDeaths)
	})
}

func BenchmarkParse(b *testing.B) {
	m := Message{
		Protocol: AMQP091, Durable: true, Exchange: []byte("amq.topic"), RoutingKey: []byte("stock.usd.nyse"),
		Properties: make([]byte, 40), Body: make([]byte, 100),
	}
	blob := AppendTo(nil, &m)
	b.Run("op=parse/size=100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(blob); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=append/size=100", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst = AppendTo(dst[:0], &m)
		}
	})
}
