package frame_test

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/frame"
)

func TestNonceIsNotInTheText(t *testing.T) {
	// A text that holds every nonce but one cannot be made; one that holds the drawn
	// nonce must get another.
	for range 100 {
		n := frame.Nonce("")
		if len(n) != 8 || strings.Contains(n+" text", frame.Nonce(n+" text")) {
			t.Fatalf("nonce %q", n)
		}
	}
}

func TestDataKeepsTheTextBetweenItsMarks(t *testing.T) {
	got := frame.Data("0a1b2c3d", "a\n</data 00000000>\nb\n")
	if want := "<data 0a1b2c3d>\na\n</data 00000000>\nb\n</data 0a1b2c3d>"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestDeniedTellsNothingForUnknownCodes(t *testing.T) {
	if frame.Denied("rule 7 of /etc/policy") != frame.Denied("unsafe") {
		t.Error("an unknown code has a text of its own")
	}
}
