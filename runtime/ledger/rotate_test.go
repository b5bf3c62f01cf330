package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func archiveOf(path string) string { return filepath.Join(filepath.Dir(path), "old.db") }

func ended(t *testing.T, l *ledger.Ledger) *ledger.Run {
	t.Helper()
	r := started(t, l)
	add(t, r, finish())
	r.Close()
	return r
}

func whole(t *testing.T, l *ledger.Ledger) ledger.Report {
	t.Helper()
	rep, err := l.Verify(t.Context())
	if err != nil || !rep.OK() {
		t.Fatalf("%v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
	}
	return rep
}

func TestRotate(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	r := ended(t, l)
	sealed := false
	done, err := l.Rotate(t.Context(), archiveOf(path), func(l *ledger.Ledger) error {
		sealed = true
		if _, err := ledger.Open(t.Context(), path, ledger.Options{ReadOnly: true}); err != nil {
			return err
		}
		return nil
	})
	if err != nil || !sealed {
		t.Fatal(err, sealed)
	}
	if _, err := l.Begin(t.Context(), ledger.RunInfo{}); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("the old handle gave %v", err)
	}
	old := open(t, archiveOf(path), ledger.Options{ReadOnly: true})
	if whole(t, old); old.ID() != done.Ledger {
		t.Errorf("the archive is ledger %s, want %s", old.ID(), done.Ledger)
	}
	if _, err := old.Run(t.Context(), r.ID()); err != nil {
		t.Error(err)
	}
	l = open(t, path, ledger.Options{})
	ended(t, l)
	rep := whole(t, l)
	if l.ID() != done.Next || rep.Runs != 1 || rep.Heads != 3 {
		t.Errorf("ledger %s, %+v", l.ID(), rep)
	}
	if s := strings.Join(rep.Notes, "\n"); !strings.Contains(s, "head 1 goes on from ledger "+done.Ledger) {
		t.Errorf("notes %q", s)
	}

	t.Run("BothMergeIntoOne", func(t *testing.T) {
		all := open(t, filepath.Join(filepath.Dir(newPath(t)), "all.db"), ledger.Options{})
		for _, p := range []string{archiveOf(path), path} {
			if _, err := all.Merge(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		if rep := whole(t, all); rep.Runs != 2 {
			t.Errorf("%d runs", rep.Runs)
		}
	})
	t.Run("AMissingArchiveIsTold", func(t *testing.T) {
		all := open(t, filepath.Join(filepath.Dir(newPath(t)), "all.db"), ledger.Options{})
		if _, err := all.Merge(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if rep := whole(t, all); !strings.Contains(strings.Join(rep.Notes, "\n"), "which is not in this file") {
			t.Errorf("notes %q", rep.Notes)
		}
	})
	l.Close()
	old.Close()
	t.Run("AnotherFileInTheWayStays", func(t *testing.T) {
		l := open(t, path, ledger.Options{})
		if _, err := l.Rotate(t.Context(), archiveOf(path), nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("error %v", err)
		}
		whole(t, open(t, path, ledger.Options{}))
		if o := open(t, archiveOf(path), ledger.Options{ReadOnly: true}); o.ID() != done.Ledger {
			t.Error("the archive was replaced")
		}
	})
}

func TestRotateRefuses(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, path string, l *ledger.Ledger){
		"ARunThatGoesOn":   func(t *testing.T, _ string, l *ledger.Ledger) { ended(t, l); started(t, l) },
		"ARunThatCrashed":  func(t *testing.T, _ string, l *ledger.Ledger) { started(t, l).Close() },
		"AnEmptyLedger":    func(*testing.T, string, *ledger.Ledger) {},
		"AnotherHandle":    func(t *testing.T, path string, l *ledger.Ledger) { ended(t, l); open(t, path, ledger.Options{}) },
		"AReader":          func(t *testing.T, path string, l *ledger.Ledger) { ended(t, l); reading(t, path) },
		"AFailedSignature": func(t *testing.T, _ string, l *ledger.Ledger) { ended(t, l) },
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			l := open(t, path, ledger.Options{})
			prepare(t, path, l)
			id := l.ID()
			_, err := l.Rotate(t.Context(), archiveOf(path), func(*ledger.Ledger) error {
				if name == "AFailedSignature" {
					return errors.New("no key")
				}
				return nil
			})
			if err == nil {
				t.Fatal("rotated")
			}
			if _, err := os.Stat(archiveOf(path)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the archive is there: %v", err)
			}
			l = open(t, path, ledger.Options{})
			if whole(t, l); l.ID() != id {
				t.Error("another ledger lies at the path")
			}
			ended(t, l) // it can be written again
		})
	}
}

func reading(t *testing.T, path string) {
	t.Helper()
	l := open(t, path, ledger.Options{ReadOnly: true})
	if _, err := l.Runs(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rotatingChild records a run and rotates, ending itself at the given stage of that.
func rotatingChild(ctx context.Context, l *ledger.Ledger, path, at string) error {
	left, err := strconv.Atoi(at)
	if err != nil {
		return err
	}
	r, err := l.Begin(ctx, ledger.RunInfo{})
	if err == nil {
		err = childRun(ctx, r, 0)
	}
	if err != nil {
		return err
	}
	r.Close()
	ledger.Hook(l, func(stage string) {
		if left--; left == 0 {
			fmt.Println("killed", stage)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if _, err := l.Rotate(ctx, archiveOf(path), nil); err != nil {
		return err
	}
	fmt.Println("rotated")
	return nil
}

// TestKilledWhileRotating ends a rotation at each of its stages. One whole ledger lies at
// the path after each, the run is in it or in the archive, and rotating again goes well.
func TestKilledWhileRotating(t *testing.T) {
	stages := map[string]bool{}
	for at := 1; ; at++ {
		path := memoryPath(t)
		p := startChild(t, path, fmt.Sprintf("%s_ROTATE=%d", childEnv, at))
		p.read(1 << 30)
		p.cmd.Wait()
		end := p.log[len(p.log)-1]
		l := open(t, path, ledger.Options{})
		whole(t, l)
		runs, err := l.Runs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		moved := len(runs) == 0
		if moved {
			old := open(t, archiveOf(path), ledger.Options{ReadOnly: true})
			whole(t, old)
			checkLog(t, old, p.log)
			old.Close()
		} else {
			checkLog(t, l, p.log)
			if _, err := l.Rotate(t.Context(), archiveOf(path), nil); err != nil {
				t.Fatalf("at %d (%s): rotating again: %v", at, end, err)
			}
		}
		l.Close()
		if end == "rotated" {
			break
		}
		stage := strings.TrimPrefix(end, "killed ")
		if stages[stage] = true; moved != (stage == "renamed") {
			t.Errorf("at %d (%s): moved is %v", at, end, moved)
		}
	}
	for _, want := range []string{"alone", "begin", "commit", "head", "made", "linked", "renamed"} {
		if !stages[want] {
			t.Errorf("never killed at %q of %v", want, stages)
		}
	}
}
