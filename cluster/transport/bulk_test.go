package transport

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

// bulkFunc is a BulkHandler.
type bulkFunc func(s *BulkStream, head []byte) error

func (f bulkFunc) Bulk(s *BulkStream, head []byte) error { return f(s, head) }

func bulkPair(t testing.TB, h bulkFunc) (*node, *node) {
	t.Helper()
	founder := testTrust(t, testCluster)
	ob := options(t, member(t, founder, 2, birth))
	ob.Bulk = h
	a, b := start(t, options(t, founder)), start(t, ob)
	mesh(a, b)
	a.up(ClassRaft)
	return a, b
}

func TestBulkAsksAndAnswers(t *testing.T) {
	text := make([]byte, 5*bulkChunk+12345)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(text)
	a, _ := bulkPair(t, func(s *BulkStream, head []byte) error {
		asked, err := io.ReadAll(s)
		if err != nil {
			return err
		}
		if s.Peer() != 1 || string(head) != "which" || string(asked) != "what" {
			return errors.New("not what was asked")
		}
		_, err = s.Write(text)
		return err
	})
	s, err := a.Bulk(ctx(t), 2, []byte("which"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write([]byte("what")); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, text) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestBulkGivesUp(t *testing.T) {
	a, _ := bulkPair(t, func(s *BulkStream, _ []byte) error {
		_, _ = s.Write([]byte("some"))
		return errors.New("the state is gone\n")
	})
	s, err := a.Bulk(ctx(t), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := io.ReadAll(s)
	if string(got) != "some" || err == nil || !strings.Contains(err.Error(), "the state is gone?") {
		t.Fatalf("%q, %v", got, err)
	}
}

// Half of something is never taken for all of it.
func TestBulkCutShort(t *testing.T) {
	a, b := bulkPair(t, func(s *BulkStream, _ []byte) error {
		_, _ = s.Write([]byte("half"))
		s.Close()
		return nil
	})
	s, err := a.Bulk(ctx(t), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(s)
	if err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("%q, %v", got, err)
	}
	s.Close()
	// The same the other way: the asking side leaves.
	if s, err = a.Bulk(ctx(t), 2, nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	eventually(t, func() bool {
		p := b.Transport.peer(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.bulks == 0
	})
}

func TestBulkChecksums(t *testing.T) {
	s := &BulkStream{c: &conn{sock: newSocket(nil, clock.NewReal())}}
	c := &chunk{}
	at := c.begin(typeChunk)
	c.text = append(c.text, 1, 2, 3, 4, 'x')
	c.end(at, 0)
	s.in = newFrameReader(bytes.NewReader(c.text), bulkChunk)
	if _, err := s.Read(make([]byte, 9)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Fatal(err)
	}
}

func TestBulkIsRefused(t *testing.T) {
	founder := testTrust(t, testCluster)
	a, b := start(t, options(t, founder)), start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	if _, err := a.Bulk(ctx(t), 2, nil); !reason(RefusedClass)(err) {
		t.Fatalf("a node without a handler: %v", err)
	}
	if _, err := a.Bulk(ctx(t), 3, nil); err == nil {
		t.Fatal("a node that is none")
	}
}

func TestBulksAreBounded(t *testing.T) {
	release := make(chan struct{})
	a, b := bulkPair(t, func(s *BulkStream, _ []byte) error {
		<-release
		return nil
	})
	defer close(release)
	for range maxBulk {
		s, err := a.Bulk(ctx(t), 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	if _, err := a.Bulk(ctx(t), 2, nil); !reason(RefusedBusy)(err) {
		t.Fatal(err)
	}
	_ = b
}

// Closing a node ends what it sends and what it serves.
func TestCloseEndsBulk(t *testing.T) {
	begun, served := make(chan struct{}), make(chan error, 1)
	a, b := bulkPair(t, func(s *BulkStream, _ []byte) error {
		close(begun)
		_, err := io.ReadAll(s)
		served <- err
		return err
	})
	s, err := a.Bulk(ctx(t), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	receive(t, begun)
	b.stop()
	if err := receive(t, served); err == nil {
		t.Fatal("taken for the end")
	}
	if _, err := io.ReadAll(s); err == nil {
		t.Fatal("taken for the end")
	}
	a.stop()
}

func TestPacer(t *testing.T) {
	c := clock.NewManual(birth)
	p := newPacer(c, 1<<20)
	for i, want := range []time.Duration{0, time.Second, 1500 * time.Millisecond} {
		if got := p.take([]int{1 << 20, 1 << 19, 1}[i]); got != want {
			t.Fatalf("take %d: %v, want %v", i, got, want)
		}
	}
	c.Advance(10 * time.Second) // what was not used is not saved up
	if p.take(1<<20) != 0 || p.take(1) != time.Second {
		t.Fatal("not as after a pause")
	}
	p.set(0)
	if p.take(1<<40) != 0 || p.take(1) != 0 {
		t.Fatal("paced without a rate")
	}
	p.set(1)
	done := make(chan struct{})
	close(done)
	if p.take(5) != 0 || !errors.Is(p.wait(1, done), ErrClosed) {
		t.Fatal("it does not end with its stream")
	}
}
