package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newKey makes a signing key in a process of its own.
func newKey(t *testing.T, file string) (int, string) {
	t.Helper()
	return code(t, holdfastProcess(t, t.TempDir(), "keys", "new", "-o", file, "ops"))
}

// TestKeyIsWrittenWholeOrNotAtAll makes keys where the file system is full.
func TestKeyIsWrittenWholeOrNotAtAll(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(mounting a small file system needs root)")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("UNTESTED(no small file system: %v)", err)
	}
	t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
	filler := filepath.Join(small, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the file system is not full, the test is too weak")
	}
	got, stderr := newKey(t, filepath.Join(small, "k"))
	if got != exitInternal {
		t.Errorf("exit code %d\n%s", got, stderr)
	}
	oneClearLine(t, stderr, "write key: ")
	if entries, err := os.ReadDir(small); err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if got, stderr := newKey(t, filepath.Join(small, "k")); got != exitDone {
		t.Errorf("exit code %d\n%s", got, stderr)
	}
	if _, _, err := readKey(filepath.Join(small, "k")); err != nil {
		t.Error(err)
	}
}

// TestKeyIsNeverWrittenOver makes keys where there is something already, or no folder.
func TestKeyIsNeverWrittenOver(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "k"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "file exists", link: "file exists", filepath.Join(dir, "none", "k"): "no such file", dir: "file exists"} {
		got, stderr := newKey(t, path)
		if got != exitUsage || !strings.Contains(stderr, want) || strings.Contains(stderr, ".holdfast-") {
			t.Errorf("%s: exit code %d\n%s", path, got, stderr)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left are %v, %v", entries, err)
	}
}
