package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An Authority signs the certificates of servers that speak TLS, for tests.
type Authority struct {
	// Path is the file with the authority's own certificate, for clients.
	Path string

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// A Certificate is the paths of a server's certificate and of its key, and of a
// file that holds both, as PEM.
type Certificate struct{ Cert, Key, Both string }

// NewAuthority makes an authority that keeps its files in a directory of its
// own.
func NewAuthority(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a := &Authority{Path: filepath.Join(dir, "ca.pem"), dir: dir, key: key}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, os.WriteFile(a.Path, pemOf("CERTIFICATE", der), 0o600)
}

// Sign makes a certificate for a host, which is an address or a name, in files
// with that name. It is valid until the given time, which may be over.
func (a *Authority) Sign(host string, until time.Time) (Certificate, error) {
	var c Certificate
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: host},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return c, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, err
	}
	path := filepath.Join(a.dir, host)
	c = Certificate{Cert: path + ".cert.pem", Key: path + ".key.pem", Both: path + ".pem"}
	cert, secret := pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", private)
	for name, content := range map[string][]byte{c.Cert: cert, c.Key: secret, c.Both: append(secret[:len(secret):len(secret)], cert...)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Client is how a client that trusts the authority speaks to a host.
func (a *Authority) Client(host string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
