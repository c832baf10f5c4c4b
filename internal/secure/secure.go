// Package secure is what drivers share about passwords, certificates, and the
// question whether a connection leaves the machine.
package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
)

// Local reports whether a host can only be this machine. An empty one is.
func Local(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}

// Config completes a configuration for a client, and returns it; nil begins a
// new one. Roots, if not "", is the path of the certificates that the server's
// must be signed by, instead of the system's.
func Config(config *tls.Config, roots string) (*tls.Config, error) {
	if config = config.Clone(); config == nil {
		config = &tls.Config{}
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if roots == "" {
		return config, nil
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file of option ca holds no certificate")
	}
	return config, nil
}

// PasswordFromEnv reads a password from an environment variable.
func PasswordFromEnv(name string) (string, error) {
	password, set := os.LookupEnv(name)
	if !set {
		return "", errors.New("the environment variable of option password-env is not set")
	}
	return password, nil
}

// PasswordFromFile reads a password from a file, whose last line may be ended.
func PasswordFromFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
