package main

import (
	"testing"

	"github.com/holdfast-run/holdfast/inference/remote"
)

// TestKeyFor sends each key to the server it belongs to and to no other.
func TestKeyFor(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "theirs")
	t.Setenv("HOLDFAST_REMOTE_KEY", "mine")
	for name, want := range map[string]string{
		"openai://x": "theirs", "openai://x@localhost:8080": "mine", "openai://x@https://models.example": "mine",
		"ollama://x": "", "ollama://x@models.example": "mine",
	} {
		a, err := remote.ParseAddress(name, "https://base.example/v1")
		if err != nil {
			t.Fatal(err)
		}
		if got := keyFor(a, name); got != want {
			t.Errorf("%s gets the key %q, want %q", name, got, want)
		}
	}
}
