package remote

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func address(t *testing.T, name string) Address {
	t.Helper()
	a, err := ParseAddress(name, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestProxyOnlyWhenAsked(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://192.0.2.1:1")
	a := address(t, "ollama://x@models.example")
	for asked := range map[bool]int{true: 0, false: 0} {
		tr := newClient(a, Options{Proxy: asked}).Transport.(*guard).next.(*http.Transport)
		if (tr.Proxy != nil) != asked {
			t.Errorf("asked for %v, there is a proxy: %v", asked, tr.Proxy != nil)
		}
	}
}

func TestLoopbackIsThisMachine(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "127.9.9.9:1": true, "192.0.2.1:80": false,
		"[2001:db8::1]:80": false, "0.0.0.0:80": false, "localhost:80": false} {
		if err := loopbackOnly("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestCertificates asks a server whose certificate nobody vouches for.
func TestCertificates(t *testing.T) {
	asked := false
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer s.Close()
	s.Config.ErrorLog = nil
	_, err := Open(t.Context(), address(t, "openai://x@"+s.URL), Options{Key: "secret"})
	if !errors.As(err, new(x509.UnknownAuthorityError)) || asked || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v, asked %v", err, asked)
	}
}

func TestNothingIsSentWithoutBounds(t *testing.T) {
	a := address(t, "openai://x@127.0.0.1:1")
	if _, err := newClient(a, Options{}).Get(a.Base.String()); err == nil || !strings.Contains(err.Error(), "without bounds") {
		t.Errorf("error %v", err)
	}
}
