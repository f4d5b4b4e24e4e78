package transport

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/secret"
)

// Files says where a Trust is kept.
type Files struct {
	FS vfs.FS
	// Trust is a PEM file: the authority's certificate, the node's, the node's
	// key, and on voters the authority's key, sealed.
	Trust string
	// ClusterKey opens the sealed key: 64 hexadecimal digits. It may be kept
	// elsewhere than the sealed key, and taken away: the node then works, and
	// admits nobody.
	ClusterKey string
	// Protect sets a file's mode; os.Chmod. Nil where the file system has no
	// modes.
	Protect func(name string, mode iofs.FileMode) error
}

const (
	blockCert   = "CERTIFICATE"
	blockKey    = "PRIVATE KEY"
	blockSealed = "WARREN SEALED AUTHORITY KEY"

	maxTrustFile = 64 << 10
)

// Save writes the Trust, durably and whole: the cluster key first, so that a
// sealed key is never there without what opens it.
func (t *Trust) Save(f Files) error {
	id := t.now.Load()
	if id.seal != nil {
		text := hex.EncodeToString([]byte(id.seal.text.Reveal())) + "\n"
		if err := f.replace(f.ClusterKey, []byte(text), 0o400); err != nil {
			return fmt.Errorf("transport: write the cluster key: %w", err)
		}
	}
	text, err := id.marshal()
	if err != nil {
		return err
	}
	if err := f.replace(f.Trust, text, 0o600); err != nil {
		return fmt.Errorf("transport: write the node's trust: %w", err)
	}
	return nil
}

func (id *identity) marshal() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		return nil, fmt.Errorf("transport: encode the node's key: %w", err)
	}
	blocks := []pem.Block{{Type: blockCert, Bytes: id.authority.Raw}, {Type: blockCert, Bytes: id.cert.Raw}, {Type: blockKey, Bytes: key}}
	if id.sealed != nil {
		blocks = append(blocks, pem.Block{Type: blockSealed, Bytes: id.sealed})
	}
	var out bytes.Buffer
	for i := range blocks {
		if err := pem.Encode(&out, &blocks[i]); err != nil {
			return nil, fmt.Errorf("transport: encode the node's trust: %w", err)
		}
	}
	return out.Bytes(), nil
}

// LoadTrust reads what Save wrote. It returns an error that is
// io/fs.ErrNotExist if there is nothing. A missing cluster key makes a Trust
// that issues no certificates.
func LoadTrust(f Files) (*Trust, error) {
	text, err := f.read(f.Trust)
	if err != nil {
		return nil, fmt.Errorf("transport: read the node's trust: %w", err)
	}
	var id identity
	der, err := id.unmarshal(text)
	if err != nil {
		return nil, fmt.Errorf("transport: %s: %w", f.Trust, err)
	}
	if id.seal, err = f.readClusterKey(); err != nil {
		return nil, err
	}
	t, err := newTrust(id, der)
	if err != nil {
		return nil, fmt.Errorf("transport: %s: %w", f.Trust, err)
	}
	return t, nil
}

// unmarshal returns the node's certificate and fills in the rest.
func (id *identity) unmarshal(text []byte) (cert []byte, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		switch block.Type {
		case blockCert:
			c, err := x509.ParseCertificate(block.Bytes)
			switch {
			case err != nil:
				return nil, fmt.Errorf("a certificate: %w", err)
			case c.IsCA:
				id.authority = c
			default:
				cert = block.Bytes
			}
		case blockKey:
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the node's key: %w", err)
			}
			id.key, _ = key.(ed25519.PrivateKey)
		case blockSealed:
			id.sealed = block.Bytes
		default:
			return nil, fmt.Errorf("an unknown block %q", block.Type)
		}
	}
	if id.authority == nil || cert == nil || id.key == nil || len(bytes.TrimSpace(text)) > 0 {
		return nil, errors.New("not a whole trust file: the authority's certificate, the node's and the node's key are needed")
	}
	return cert, nil
}

func (f Files) readClusterKey() (*clusterKey, error) {
	text, err := f.read(f.ClusterKey)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no key is a state, not a fault
	}
	if err != nil {
		return nil, fmt.Errorf("transport: read the cluster key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("transport: %s is not a cluster key", f.ClusterKey)
	}
	return parseClusterKey(secret.New(string(key)))
}

// read returns a small file that nobody but its owner may read.
func (f Files) read(name string) ([]byte, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if f.Protect != nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it", name, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxTrustFile+1))
	if err == nil && len(text) > maxTrustFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxTrustFile)
	}
	return text, err
}

// replace writes a file beside the old one and renames it.
func (f Files) replace(name string, text []byte, mode iofs.FileMode) error {
	fresh := name + ".new"
	if err := f.FS.Remove(fresh); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err // a fresh one of mode 0400 cannot be opened for writing
	}
	if err := f.write(fresh, text, mode); err != nil {
		return err
	}
	if err := f.FS.Rename(fresh, name); err != nil {
		return err
	}
	dir, err := f.FS.OpenDir(f.FS.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// write restricts the file before there is anything in it.
func (f Files) write(name string, text []byte, mode iofs.FileMode) error {
	file, err := f.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if f.Protect != nil {
		err = f.Protect(name, mode)
	}
	if err == nil {
		_, err = file.Write(text)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
