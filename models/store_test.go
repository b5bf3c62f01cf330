package models_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/models"
)

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestTwoNamesShareOneFile(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := models.Store{Dir: filepath.Join(dir, "store")}
	src := write(t, filepath.Join(dir, "m.gguf"), string(good()))
	blobs := filepath.Join(s.Dir, "blobs")
	for _, name := range []string{"one", "two:q8"} {
		if _, _, err := s.Import(ctx, src, name, "sha256:"+sumOf(good()), nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, blobs); len(got) != 1 || got[0] != "sha256-"+sumOf(good()) {
		t.Errorf("files %v", got)
	}
	list, err := s.List()
	if err != nil || len(list) != 3 || list[1].Name != "one" || list[2].Digest != sumOf(good()) || list[2].Size != int64(len(good())) {
		t.Errorf("list %+v, %v", list, err)
	}
	stale := write(t, filepath.Join(blobs, ".import-1"), "left by a crash")
	busy := write(t, filepath.Join(blobs, ".import-2"), "being written")
	f, err := os.Open(busy)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("one"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, blobs); len(got) != 2 {
		t.Errorf("with a name left and a copy under way there is %v", got)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what a crash left is still there")
	}
	if err := s.Remove("two:q8"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, blobs); len(got) != 1 || got[0] != ".import-2" {
		t.Errorf("without names there is %v", got)
	}
}

func TestStoreNoticesDamage(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := models.Store{Dir: filepath.Join(dir, "store")}
	src := write(t, filepath.Join(dir, "m.gguf"), string(good()))
	l, _, err := s.Import(ctx, src, "m", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *models.File {
		t.Helper()
		found, err := s.Find("m")
		if err != nil {
			t.Fatal(err)
		}
		f, err := found.Open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	f := open()
	if got, err := f.Sum(ctx, nil); err != nil || got != sumOf(good()) {
		t.Errorf("Sum = %s, %v", got, err)
	}
	other := append([]byte(nil), good()...)
	other[len(other)-1] ^= 1
	if err := os.Rename(write(t, filepath.Join(dir, "other"), string(other)), l.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Sum(ctx, nil); !errors.Is(err, models.ErrDigest) {
		t.Errorf("a changed file gives %v", err)
	}
	// What was opened before is what will be loaded.
	b, err := os.ReadFile(f.LoadPath())
	if err != nil || sumOf(b) != sumOf(good()) {
		t.Errorf("%s holds %s, %v", f.LoadPath(), sumOf(b), err)
	}
	// Importing the same again under another name mends it.
	if _, _, err := s.Import(ctx, src, "again", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Sum(ctx, nil); err != nil {
		t.Errorf("after it was imported again: %v", err)
	}
}

// TestImportAtOnce lets several imports race for one name: one wins, none is half there.
func TestImportAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := models.Store{Dir: filepath.Join(dir, "store")}
	src := write(t, filepath.Join(dir, "m.gguf"), string(good()))
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, _, errs[i] = s.Import(context.Background(), src, "m", "", nil) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, models.ErrExists) {
			t.Error(err)
		}
	}
	if b, n := names(t, filepath.Join(s.Dir, "blobs")), names(t, filepath.Join(s.Dir, "names")); won != 1 || len(b) != 1 || len(n) != 1 {
		t.Errorf("%d won, files %v, names %v", won, b, n)
	}
}

func TestImportOfAnEndedContextLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := models.Store{Dir: filepath.Join(dir, "store")}
	src := write(t, filepath.Join(dir, "m.gguf"), string(good()))
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := s.Import(ctx, src, "m", "", func(int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if b := names(t, filepath.Join(s.Dir, "blobs")); len(b) != 0 {
		t.Errorf("left %v", b)
	}
}
