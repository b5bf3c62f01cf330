//go:build linux && (amd64 || arm64)

package verify_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/probe"
	"github.com/holdfast-run/holdfast/sandbox/verify"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == probe.Name { // inside a cell
		os.Exit(probe.Run(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// image is this test program, which is a probe as well.
var image = sync.OnceValues(func() (*sandbox.Image, error) {
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return sandbox.NewImage(b)
})

// TestTable runs every row of the table as a subtest.
func TestTable(t *testing.T) {
	r, err := sandbox.New(t.Context(), sandbox.Config{Hosts: verify.Hosts})
	if err != nil {
		if os.Getenv("REQUIRE_SANDBOX") != "" {
			t.Fatalf("sandbox is required: %v", err)
		}
		t.Skipf("UNTESTED(no sandbox here: %v)", err)
	}
	defer r.Close()
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	untested := 0
	for _, row := range verify.Rows() {
		t.Run(row.ID, func(t *testing.T) {
			list, err := verify.Run(t.Context(), r, verify.Options{Only: []string{row.ID}, Image: im})
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			switch o := list[0]; o.State {
			case verify.Fail:
				t.Errorf("%s: %s", o.Try, o.Why)
			case verify.Untested:
				untested++
				t.Skipf("UNTESTED(%s)", o.Why)
			}
		})
	}
	if untested > 8 {
		t.Errorf("%d rows are untested here", untested)
	}
}

// TestTableIsComplete: every row of the design stands in the table, with what is
// tried, what must come of it, and a test or a reason.
func TestTableIsComplete(t *testing.T) {
	last := map[string]int{"FS": 29, "PR": 15, "NW": 20, "KS": 12, "RS": 10, "PV": 7, "IL": 10, "TT": 4, "PS": 6}
	var ids []string
	for _, r := range verify.Rows() {
		if !regexp.MustCompile(`^[A-Z]{2}\d\d$`).MatchString(r.ID) || slices.Contains(ids, r.ID) {
			t.Errorf("identity %q", r.ID)
		}
		ids = append(ids, r.ID)
		if r.Try == "" || r.Expect == "" || r.Layers == "" {
			t.Errorf("%s says too little", r.ID)
		}
	}
	want := 0
	for kind, n := range last {
		want += n
		for i := 1; i <= n; i++ {
			id := kind + string(rune('0'+i/10)) + string(rune('0'+i%10))
			if !slices.Contains(ids, id) {
				t.Errorf("%s is missing", id)
			}
		}
	}
	if len(ids) != want {
		t.Errorf("%d rows, want %d", len(ids), want)
	}
}

// TestLeftBehind wants the next run to remove what a killed one left, and nothing that is
// in use, too young to tell, or not a directory of its own.
func TestLeftBehind(t *testing.T) {
	top := t.TempDir()
	t.Setenv("TMPDIR", top)
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"holdfast-verify-dead", "holdfast-verify-held", "holdfast-verify-young", "another"} {
		dir := filepath.Join(top, name)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "work"), 0o755), os.WriteFile(filepath.Join(dir, "work", "mine"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		if name != "holdfast-verify-young" {
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("another", filepath.Join(top, "holdfast-verify-link")); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(filepath.Join(top, "holdfast-verify-held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if _, err := verify.Run(ctx, nil, verify.Options{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	left, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if want := []string{"another", "holdfast-verify-held", "holdfast-verify-link", "holdfast-verify-young"}; !slices.Equal(names, want) {
		t.Errorf("left are %v, want %v", names, want)
	}
	if _, err := os.Stat(filepath.Join(top, "another", "work", "mine")); err != nil {
		t.Error(err)
	}
}

// TestInterrupted breaks a row off: it is no failure of the cell, and leaves nothing.
func TestInterrupted(t *testing.T) {
	top := t.TempDir()
	t.Setenv("TMPDIR", top)
	r, err := sandbox.New(t.Context(), sandbox.Config{})
	if err != nil {
		t.Skipf("UNTESTED(no sandbox here: %v)", err)
	}
	defer r.Close()
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	made := make(chan struct{})
	go func() { // ends the run once it has made a directory for its row
		defer close(made)
		for ctx.Err() == nil {
			if list, _ := os.ReadDir(top); len(list) > 0 {
				end()
			}
		}
	}()
	list, err := verify.Run(ctx, r, verify.Options{Only: []string{"FS01"}, Image: im})
	end()
	<-made
	if left, _ := os.ReadDir(top); !errors.Is(err, context.Canceled) || len(list) > 0 || len(left) > 0 {
		t.Errorf("%v, outcomes %v, left %v", err, list, left)
	}
}
