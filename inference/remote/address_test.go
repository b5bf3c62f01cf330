package remote_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/inference/remote"
)

func TestParseAddress(t *testing.T) {
	for name, want := range map[string]string{
		"ollama://qwen3:8b":                         "ollama://qwen3:8b@http://127.0.0.1:11434",
		"ollama://me/x:latest@localhost":            "ollama://me/x:latest@http://localhost:11434",
		"ollama://x@127.0.0.1:9":                    "ollama://x@http://127.0.0.1:9",
		"ollama://x@[::1]:9":                        "ollama://x@http://[::1]:9",
		"ollama://x@models.example":                 "ollama://x@https://models.example",
		"ollama://x@http://10.0.0.7:11434/":         "ollama://x@http://10.0.0.7:11434",
		"openai://x@127.0.0.1:8080":                 "openai://x@http://127.0.0.1:8080/v1",
		"openai://gpt-x@https://models.example/api": "openai://gpt-x@https://models.example/api",
		"openai://x":                                "openai://x@https://base.example/v1",
	} {
		a, err := remote.ParseAddress(name, "https://base.example/v1")
		if err != nil || a.String() != want || !remote.Named(name) {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", name, a, err, want)
		}
	}
	for _, name := range []string{"", "x", "ollama:x", "ollama://", "ollama://x@", "ollama://x y", "http://x@y", "ollama://x@user:pw@host",
		"ollama://x@ftp://host", "ollama://x@host/?q", "ollama://x@host#f", "ollama://x@ho st", "ollama://x\x1b@host", "openai://x@h\x00",
		"ollama://" + strings.Repeat("a", 300)} {
		if a, err := remote.ParseAddress(name, ""); !errors.Is(err, remote.ErrAddress) {
			t.Errorf("ParseAddress(%q) = %q, %v", name, a, err)
		}
	}
	if _, err := remote.ParseAddress("openai://x", ""); !errors.Is(err, remote.ErrAddress) {
		t.Errorf("without a server: %v", err)
	}
}

// TestRefusesUnencrypted names addresses that nothing answers at: the refusal comes before
// a connection is tried.
func TestRefusesUnencrypted(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  remote.Options
	}{
		{"ollama://x@http://192.0.2.1:11434", remote.Options{}},
		{"ollama://x@http://0.0.0.0:11434", remote.Options{}},
		{"openai://x@http://localhost.example/v1", remote.Options{}},
		{"openai://x@http://192.0.2.1/v1", remote.Options{HTTP: true, Key: "secret"}},
		{"ollama://x@https://ollama.com", remote.Options{}},
		{"ollama://x", remote.Options{Key: "a\nb"}},
		{"ollama://x", remote.Options{Context: -1}},
	} {
		a, err := remote.ParseAddress(c.name, "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whoever tries to connect fails with this
		var e *remote.Error
		if _, err := remote.Open(ctx, a, c.opt); err == nil || errors.Is(err, context.Canceled) || !errors.As(err, &e) {
			t.Errorf("Open(%q, %+v) gives %v", c.name, c.opt, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the key is in %v", err)
		}
	}
}
