package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTornNoteIsTakenBack adds a note to a file whose last one was written in part.
func TestTornNoteIsTakenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	const one, two = "first\n", "second\n"
	for before, want := range map[string]string{
		"":                         two + "----\n",
		one + "----\n":             one + "----\n" + two + "----\n",
		one + "----\nsec":          one + "----\n" + two + "----\n",
		one + "----\n" + two + "-": one + "----\n" + two + "----\n",
		"of somebody else":         "of somebody else" + two + "----\n",
	} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := toFile(path, []byte(two)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q became %q, want %q, %v", before, got, want, err)
		}
	}
}
