package secure

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
)

func TestLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"10.0.0.1": false, "localhost.example.org": false, "db": false, "::": false, "0.0.0.0": false, "127.0.0.1.example.org": false,
	} {
		if Local(host) != want {
			t.Errorf("Local(%q) is %v", host, !want)
		}
	}
}

func TestConfigNeverWeakens(t *testing.T) {
	theirs := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: "db"}
	got, err := Config(theirs, "")
	if err != nil || got == theirs || got.MinVersion != tls.VersionTLS13 || got.ServerName != "db" || got.InsecureSkipVerify {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = Config(nil, ""); err != nil || got.MinVersion != tls.VersionTLS12 || got.RootCAs != nil {
		t.Errorf("%+v, %v", got, err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, roots := range []string{empty, empty + "/none"} {
		if got, err := Config(nil, roots); err == nil {
			t.Errorf("%s: %+v", roots, got)
		}
	}
}

func TestPasswords(t *testing.T) {
	t.Setenv("FOURFOLD_TEST_PASSWORD", "canary")
	if p, err := PasswordFromEnv("FOURFOLD_TEST_PASSWORD"); p != "canary" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := PasswordFromEnv("FOURFOLD_TEST_NO_SUCH"); err == nil {
		t.Error("a variable that is not set is an error")
	}
	file := filepath.Join(t.TempDir(), "password")
	for content, want := range map[string]string{"canary\n": "canary", "canary\r\n": "canary", " canary ": " canary ", "": ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := PasswordFromFile(file); p != want || err != nil {
			t.Errorf("%q: %q, %v", content, p, err)
		}
	}
	if _, err := PasswordFromFile(file + ".none"); err == nil {
		t.Error("a file that is not there is an error")
	}
}
