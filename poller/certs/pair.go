package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Pair names the two files of a certificate, in PEM. They may be one.
type Pair struct {
	Cert string // the certificate, and behind it those that lead from it to one that clients know
	Key  string // its private key, without a passphrase
}

// maxFileBytes is more than any certificate has, and bounds what a wrong name can cost.
const maxFileBytes = 1 << 20

// read returns the certificate in the files, and what they are known by. That is from before they are read: should they be changed
// meanwhile, they are others at the next look.
func (p Pair) read() (*tls.Certificate, version, error) {
	v := p.files()
	certPEM, err := readFile(p.Cert)
	if err != nil {
		return nil, v, err
	}
	keyPEM, err := readFile(p.Key)
	if err != nil {
		return nil, v, err
	}
	cert, err := p.parse(certPEM, keyPEM)
	return cert, v, err
}

func readFile(name string) ([]byte, error) {
	// What is no file can block, or be read only once.
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, fmt.Errorf("certs: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("certs: %s is no regular file, and has to be one, to be read again", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("certs: %w", err)
	case len(b) > maxFileBytes:
		return nil, fmt.Errorf("certs: %s has more than %d bytes: it is no file of certificates", name, maxFileBytes)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, fmt.Errorf("certs: %s is empty", name)
	}
	return b, nil
}

// parse is [tls.X509KeyPair], but that it says which file is at fault, and refuses one that is damaged or cut off: that could
// lack certificates that clients need.
func (p Pair) parse(certPEM, keyPEM []byte) (*tls.Certificate, error) {
	inCert, inKey := inspect(certPEM), inspect(keyPEM)
	switch {
	case inCert.damaged:
		return nil, fmt.Errorf("certs: %s: a part of it is damaged or cut off (it begins and does not end as PEM does)", p.Cert)
	case inKey.damaged:
		return nil, fmt.Errorf("certs: %s: a part of it is damaged or cut off (it begins and does not end as PEM does)", p.Key)
	case inCert.certs == 0 && inCert.keys > 0 && inKey.certs > 0 && inKey.keys == 0:
		return nil, fmt.Errorf("certs: %s holds the key and %s the certificate: swap them", p.Cert, p.Key)
	case inCert.certs == 0:
		return nil, fmt.Errorf("certs: %s holds no certificate%s", p.Cert, inCert.instead())
	case inKey.keys == 0:
		return nil, fmt.Errorf("certs: %s holds no private key%s", p.Key, inKey.instead())
	case inKey.encrypted:
		return nil, fmt.Errorf("certs: the private key in %s is encrypted, and nobody is there to give the passphrase: take it off, "+
			"such as by openssl pkey -in %s -out FILE", p.Key, p.Key)
	}
	leaf, err := x509.ParseCertificate(inCert.first)
	if err != nil {
		return nil, fmt.Errorf("certs: %s: the certificate in it cannot be read: %w", p.Cert, err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	switch {
	case err != nil && leaf.IsCA && inCert.certs > 1:
		return nil, fmt.Errorf("certs: %s is not the key of the first certificate in %s, which is an authority's: the server's "+
			"own has to be the first: %w", p.Key, p.Cert, err)
	case err != nil:
		return nil, fmt.Errorf("certs: %s is not the key of the certificate in %s: %w", p.Key, p.Cert, err)
	}
	cert.Leaf = leaf // in spite of the GODEBUG x509keypairleaf=0, by which each handshake would have to parse it
	return &cert, nil
}

// contents is what a file holds.
type contents struct {
	certs, keys int
	first       []byte // certificate
	others      string // the type of some other part
	encrypted   bool   // the first key is
	damaged     bool
}

// inspect looks at the parts of a file, as tls.X509KeyPair tells them apart.
func inspect(file []byte) (c contents) {
	parts, rest := 0, file
	for {
		var part *pem.Block
		if part, rest = pem.Decode(rest); part == nil {
			break
		}
		parts++
		switch {
		case part.Type == "CERTIFICATE":
			if c.certs++; c.certs == 1 {
				c.first = part.Bytes
			}
		case part.Type == "PRIVATE KEY" || strings.HasSuffix(part.Type, " PRIVATE KEY"):
			if c.keys++; c.keys == 1 {
				c.encrypted = part.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(part.Headers["Proc-Type"], "ENCRYPTED")
			}
		default:
			c.others = part.Type
		}
	}
	// pem.Decode passes over what it cannot read.
	c.damaged = bytes.Count(file, []byte("-----BEGIN ")) != parts || bytes.Contains(rest, []byte("-----"))
	return c
}

// instead says what a file holds in place of what it should.
func (c contents) instead() string {
	switch {
	case c.certs > 0:
		return ": what is in it is a certificate"
	case c.keys > 0:
		return ": what is in it is a private key"
	case c.others != "":
		return ": what is in it is " + c.others
	}
	return " in PEM, which begins with -----BEGIN: if it is in DER, convert it, such as by openssl x509 or pkey -inform der"
}

// version is what a pair's files are known by: whether they are the same as before, with the same contents.
type version struct{ cert, key fileVersion }

// files is their version now.
func (p Pair) files() version { return version{versionOf(p.Cert), versionOf(p.Key)} }

func (v version) same(w version) bool { return v.cert.same(w.cert) && v.key.same(w.key) }

// fileVersion is what stat(2) says of what a name leads to. Without an info it is the error; the zero value is no file's.
type fileVersion struct {
	info fs.FileInfo
	err  string
}

func versionOf(name string) fileVersion {
	info, err := os.Stat(name)
	if err != nil {
		return fileVersion{err: err.Error()}
	}
	return fileVersion{info: info}
}

func (v fileVersion) same(w fileVersion) bool {
	if v.info == nil || w.info == nil {
		return v == w
	}
	return os.SameFile(v.info, w.info) && v.info.Size() == w.info.Size() && v.info.ModTime().Equal(w.info.ModTime())
}
