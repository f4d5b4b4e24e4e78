package transport

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	iofs "io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/secret"
)

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// Nothing of a founding comes from outside what was handed in.
func TestFoundingDrawsFromWhatItIsHanded(t *testing.T) {
	a, b := testTrust(t, testCluster), testTrust(t, testCluster)
	if !bytes.Equal(a.now.Load().cert.Raw, b.now.Load().cert.Raw) || !bytes.Equal(a.now.Load().sealed, b.now.Load().sealed) {
		t.Fatal("two foundings of one seed differ")
	}
	if a.Cluster() != testCluster || a.Node() != 1 || !a.HoldsAuthority() {
		t.Fatal(a.Cluster(), a.Node(), a.HoldsAuthority())
	}
}

func TestCertificatesNameTheNode(t *testing.T) {
	trust := testTrust(t, testCluster)
	cert := trust.now.Load().cert
	if got := cert.URIs[0].String(); got != "warren://00000000000000c1/0000000000000001" {
		t.Fatal(got)
	}
	if err := verify(trust.now.Load(), testCluster, cert, birth); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	trust := testTrust(t, testCluster)
	id := trust.now.Load()
	other := testTrust(t, testCluster+1)
	// Another authority that calls itself the same cluster's.
	forged, err := Found(Founder{Cluster: testCluster, Node: 1, Now: birth, Rand: seeded(99)})
	if err != nil {
		t.Fatal(err)
	}
	own, err := id.seal.open(id.sealed, testCluster, id.authority)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(change func(*x509.Certificate)) *x509.Certificate { return signed(t, own, change) }
	uri := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for name, cert := range map[string]*x509.Certificate{
		"another cluster":      other.now.Load().cert,
		"another authority":    forged.now.Load().cert,
		"the authority itself": id.authority,
		"no name":              sign(func(c *x509.Certificate) { c.URIs = nil }),
		"two names":            sign(func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }),
		"a host's name too":    sign(func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} }),
		"another scheme":       sign(func(c *x509.Certificate) { c.URIs[0] = uri("https://00000000000000c1/0000000000000002") }),
		"its name for another": sign(func(c *x509.Certificate) { c.URIs[0] = uri("warren://00000000000000c2/0000000000000002") }),
		"node zero":            sign(func(c *x509.Certificate) { c.URIs[0] = uri("warren://00000000000000c1/0000000000000000") }),
		"short id":             sign(func(c *x509.Certificate) { c.URIs[0] = uri("warren://c1/2") }),
		"capitals":             sign(func(c *x509.Certificate) { c.URIs[0] = uri("warren://00000000000000C1/0000000000000002") }),
		"a query":              sign(func(c *x509.Certificate) { c.URIs[0] = uri("warren://00000000000000c1/0000000000000002?x") }),
		"for servers only":     sign(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		"expired":              sign(func(c *x509.Certificate) { c.NotAfter = birth.Add(-time.Second) }),
		"not yet":              sign(func(c *x509.Certificate) { c.NotBefore = birth.Add(time.Second) }),
	} {
		if err := verify(id, testCluster, cert, birth); !errors.Is(err, ErrNotTrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := verify(id, testCluster, sign(func(*x509.Certificate) {}), birth); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// signed makes a certificate for node 2 that differs in one thing.
func signed(t *testing.T, a *authority, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := newKey(seeded(5))
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.issue(testCluster, 2, publicOf(key), birth, seeded(6))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	change(cert)
	cert.ExtraExtensions = nil
	if der, err = x509.CreateCertificate(rand.Reader, cert, a.cert, publicOf(key), a.key); err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestOtherKindsOfKeysAreRefused(t *testing.T) {
	trust := testTrust(t, testCluster)
	id := trust.now.Load()
	a, err := id.seal.open(id.sealed, testCluster, id.authority)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := *id.cert
	template.SerialNumber = big.NewInt(5)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(id, testCluster, cert, birth); !errors.Is(err, ErrNotTrusted) {
		t.Fatal(err)
	}
}

// A clock that is wrong by months at either end keeps nobody out.
func TestClocksMayDiffer(t *testing.T) {
	founder := testTrust(t, testCluster)
	for _, off := range []time.Duration{-300 * 24 * time.Hour, 0, 300 * 24 * time.Hour} {
		m := member(t, founder, 2, birth.Add(off))
		if err := verify(founder.now.Load(), testCluster, m.now.Load().cert, birth); err != nil {
			t.Errorf("issued %v off: %v", off, err)
		}
	}
}

func TestSeal(t *testing.T) {
	trust := testTrust(t, testCluster)
	id := trust.now.Load()
	if bytes.Contains(id.sealed, id.key.Seed()) {
		t.Fatal("not sealed at all")
	}
	for i := range id.sealed {
		bad := bytes.Clone(id.sealed)
		bad[i] ^= 1
		if _, err := id.seal.open(bad, testCluster, id.authority); err == nil {
			t.Fatalf("byte %d may change", i)
		}
		if _, err := id.seal.open(id.sealed[:i], testCluster, id.authority); err == nil {
			t.Fatalf("%d bytes are enough", i)
		}
	}
	if _, err := id.seal.open(id.sealed, testCluster+1, id.authority); err == nil {
		t.Fatal("another cluster's")
	}
	otherKey, err := newClusterKey(seeded(77))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := otherKey.open(id.sealed, testCluster, id.authority); err == nil {
		t.Fatal("another key")
	}
}

// A learner that becomes a voter gets the key; what it then issues is believed.
func TestAuthorityKeyTravels(t *testing.T) {
	founder := testTrust(t, testCluster)
	m := member(t, founder, 2, birth)
	if _, err := m.Issue(3, publicOf(m.now.Load().key), birth, seeded(1)); !errors.Is(err, ErrNoAuthority) {
		t.Fatal(err)
	}
	if _, err := m.AuthorityKey(); !errors.Is(err, ErrNoAuthority) {
		t.Fatal(err)
	}
	key, err := founder.AuthorityKey()
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := testTrust(t, testCluster+1).AuthorityKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.TakeAuthorityKey(wrong); err == nil || m.HoldsAuthority() {
		t.Fatal("another cluster's key was taken")
	}
	if err := m.TakeAuthorityKey(key); err != nil {
		t.Fatal(err)
	}
	third := member(t, m, 3, birth)
	if err := verify(founder.now.Load(), testCluster, third.now.Load().cert, birth); err != nil {
		t.Fatal(err)
	}
}

func TestReplace(t *testing.T) {
	founder := testTrust(t, testCluster)
	m := member(t, founder, 2, birth)
	fresh, err := newKey(seeded(8))
	if err != nil {
		t.Fatal(err)
	}
	issue := func(node uint64, now time.Time) []byte {
		der, err := founder.Issue(node, publicOf(fresh), now, seeded(9))
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	later := birth.Add(4 * 365 * 24 * time.Hour)
	if err := m.Replace(issue(3, later), fresh); !errors.Is(err, ErrNotTrusted) {
		t.Fatalf("another node's: %v", err)
	}
	if err := m.Replace(issue(2, later), m.now.Load().key); err == nil {
		t.Fatal("a key that is not the certificate's")
	}
	before := m.Expires()
	if err := m.Replace(issue(2, later), fresh); err != nil {
		t.Fatal(err)
	}
	if !m.Expires().After(before) || !m.RenewAt().Before(m.Expires()) {
		t.Fatal(before, m.Expires(), m.RenewAt())
	}
}

func files(fs vfs.FS) Files {
	return Files{FS: fs, Trust: "t/trust.pem", ClusterKey: "t/cluster.key"}
}

func TestTrustIsKept(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("t", 0o700); err != nil {
		t.Fatal(err)
	}
	syncDir(t, fs, "")
	f := files(fs)
	if _, err := LoadTrust(f); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	want := testTrust(t, testCluster)
	if err := want.Save(f); err != nil {
		t.Fatal(err)
	}
	// What was saved is there after the power went.
	f.FS = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	got, err := LoadTrust(f)
	if err != nil {
		t.Fatal(err)
	}
	if got.Cluster() != testCluster || got.Node() != 1 || !got.HoldsAuthority() || !got.now.Load().key.Equal(want.now.Load().key) {
		t.Fatal("not what was saved")
	}
	if err := got.Save(f); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	// Without the cluster key the node works, and issues nothing.
	if err := f.FS.Remove(f.ClusterKey); err != nil {
		t.Fatal(err)
	}
	if got, err = LoadTrust(f); err != nil || got.HoldsAuthority() {
		t.Fatal(err)
	}
	if err := got.Save(f); err != nil {
		t.Fatal(err)
	}
	if got, err = LoadTrust(f); err != nil || got.now.Load().sealed == nil {
		t.Fatal("the sealed key was thrown away:", err)
	}
}

func syncDir(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	d, err := fs.OpenDir(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedTrustIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	f := files(fs)
	if err := fs.MkdirAll("t", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := testTrust(t, testCluster).Save(f); err != nil {
		t.Fatal(err)
	}
	text := readFile(t, fs, f.Trust)
	otherText, err := testTrust(t, testCluster+1).now.Load().marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":         {},
		"cut":           text[:len(text)/2],
		"something":     append(bytes.Clone(text), "and more"...),
		"another's end": append(bytes.Clone(text), otherText...),
	} {
		writeFile(t, fs, f.Trust, bad)
		if _, err := LoadTrust(f); err == nil || errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	writeFile(t, fs, f.Trust, text)
	writeFile(t, fs, f.ClusterKey, bytes.Repeat([]byte("ab"), 32))
	if _, err := LoadTrust(f); err == nil {
		t.Error("a key of something else")
	}
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	file, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, fs vfs.FS, name string, text []byte) {
	t.Helper()
	file, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestModesOfFiles(t *testing.T) {
	dir := t.TempDir()
	f := Files{FS: vfs.Default, Trust: filepath.Join(dir, "trust.pem"), ClusterKey: filepath.Join(dir, "cluster.key"), Protect: os.Chmod}
	trust := testTrust(t, testCluster)
	for range 2 { // a second time over a file that may not be written
		if err := trust.Save(f); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]iofs.FileMode{f.Trust: 0o600, f.ClusterKey: 0o400} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.Chmod(f.Trust, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTrust(f); err == nil {
		t.Error("a key that others may read was taken")
	}
}

func TestCookies(t *testing.T) {
	for _, c := range []struct {
		text  string
		allow bool
		ok    bool
	}{
		{"", true, false},
		{"secret", false, false},
		{"secret", true, true},
		{"123456789012345", false, false},
		{"1234567890123456", false, true},
	} {
		_, err := NewCookie(secret.New(c.text), c.allow)
		if (err == nil) != c.ok {
			t.Errorf("%q, allowed %v: %v", c.text, c.allow, err)
		}
	}
}
