package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

var _ loop.Recorder = (*ledger.Run)(nil)

// newPath names a ledger in a directory that Open will create.
func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "ledger", "ledger.db") }

func open(t testing.TB, path string, opt ledger.Options) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func begin(t testing.TB, l *ledger.Ledger, info ledger.RunInfo) *ledger.Run {
	t.Helper()
	r, err := l.Begin(t.Context(), info)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func add(t testing.TB, r *ledger.Run, e agent.Event) int64 {
	t.Helper()
	n, err := r.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// say is a body that any run may hold at any time.
func say(s string) agent.Event {
	return agent.Event{Body: &agent.Said{Role: agent.User, Text: agent.Text(s)}}
}

func started(t testing.TB, l *ledger.Ledger) *ledger.Run {
	t.Helper()
	r := begin(t, l, ledger.RunInfo{})
	add(t, r, agent.Event{Body: &agent.RunStart{Agent: "test", Task: agent.Text("do it")}})
	return r
}

func TestRecorder(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		agenttest.TestRecorder(t, func(t *testing.T) agenttest.Appender {
			return begin(t, open(t, newPath(t), ledger.Options{}), ledger.RunInfo{})
		})
	})
	t.Run("Memory", func(t *testing.T) {
		agenttest.TestRecorder(t, func(*testing.T) agenttest.Appender { return &agenttest.Memory{} })
	})
}

func TestAppendThenRead(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { at = at.Add(time.Second); return at }
	path := newPath(t)
	l := open(t, path, ledger.Options{Clock: clock, Build: "b1", Host: "h1"})
	r := begin(t, l, ledger.RunInfo{Task: "t1", Group: "g", Sample: 3})
	add(t, r, agent.Event{Body: &agent.RunStart{Agent: "a", Task: agent.Text("the task")}})
	empty := &agent.Blob{Media: "x-bits"}
	add(t, r, agent.Event{Step: 1, Ref: 1, Body: &agent.ToolsOffered{List: []agent.ToolOffered{
		{Name: "one", Spec: agent.Text("spec one")}, {Name: "two", Spec: agent.Text("")},
	}}})
	add(t, r, agent.Event{Step: 1, Body: &agent.GenEnd{IDs: &agent.Blob{Media: "x-i32le", Data: []byte{1, 0, 0, 0}}, Forced: empty, N: 1}})
	call := agent.ToolCall{ID: "c1", Tool: "t", Args: "{}"}.Digest()
	add(t, r, agent.Event{Step: 1, Ref: 3, Call: call, Body: &agent.Judged{Outcome: agent.Deny}})
	add(t, r, agent.Event{Step: 2, Body: &agent.RunEnd{Status: agent.StatusDone, Answer: agent.Text("fini")}})
	if r.Last() != 5 {
		t.Errorf("Last = %d, want 5", r.Last())
	}

	for name, from := range map[string]*ledger.Ledger{
		"SameHandle": l, "ReadOnlyHandle": open(t, path, ledger.Options{ReadOnly: true}),
	} {
		t.Run(name, func(t *testing.T) {
			ev, err := from.ReadAll(t.Context(), r.ID()[:20])
			if err != nil {
				t.Fatal(err)
			}
			if len(ev) != 5 {
				t.Fatalf("got %d events, want 5", len(ev))
			}
			for i, e := range ev {
				if e.Seq != int64(i+1) || e.Hash == [32]byte{} {
					t.Errorf("event %d has position %d and hash %x", i+1, e.Seq, e.Hash[:4])
				}
			}
			if got := ev[0].Body.(*agent.RunStart).Task.String(); got != "the task" {
				t.Errorf("task = %q", got)
			}
			if got := ev[1].Body.(*agent.ToolsOffered).List[0].Spec; got.String() != "spec one" || got.Media != "text/plain" {
				t.Errorf("spec = %q of %q", got, got.Media)
			}
			if got := ev[2].Body.(*agent.GenEnd).Forced; got.Data == nil || len(got.Data) != 0 {
				t.Errorf("empty blob came back as %v", got.Data)
			}
			if e := ev[3]; e.Call != call || e.Ref != 3 || e.Step != 1 {
				t.Errorf("event 4 = %+v", e)
			}
			if want := 3 * time.Second; ev[3].Mono != want {
				t.Errorf("mono = %v, want %v", ev[3].Mono, want)
			}
			s, err := from.Run(t.Context(), r.ID())
			if err != nil {
				t.Fatal(err)
			}
			if s.State != ledger.Ended || s.Status != agent.StatusDone || s.Events != 5 || s.Prompt != "the task" ||
				s.Agent != "a" || s.Info.Task != "t1" || s.Info.Sample != 3 || s.Info.Relation != ledger.Root {
				t.Errorf("summary = %+v", s)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	refused := func(t *testing.T, path string, opt ledger.Options) {
		t.Helper()
		l, err := ledger.Open(t.Context(), path, opt)
		if err == nil {
			l.Close()
			t.Fatal("opened")
		}
		if _, ok := errors.AsType[*ledger.Error](err); !ok {
			t.Errorf("error %v is not a *ledger.Error", err)
		}
	}
	t.Run("WiderDirectory", func(t *testing.T) {
		path := newPath(t)
		os.Mkdir(filepath.Dir(path), 0o700)
		os.Chmod(filepath.Dir(path), 0o755)
		refused(t, path, ledger.Options{})
	})
	t.Run("WiderFile", func(t *testing.T) {
		path := newPath(t)
		open(t, path, ledger.Options{}).Close()
		os.Chmod(path, 0o640)
		refused(t, path, ledger.Options{})
		refused(t, path, ledger.Options{ReadOnly: true})
	})
	t.Run("LinkedFile", func(t *testing.T) {
		path := newPath(t)
		open(t, path, ledger.Options{}).Close()
		os.Rename(path, path+".real")
		os.Symlink(path+".real", path)
		refused(t, path, ledger.Options{})
	})
	t.Run("LinkedLog", func(t *testing.T) {
		path := newPath(t)
		open(t, path, ledger.Options{}).Close()
		os.Symlink(path, path+"-wal")
		refused(t, path, ledger.Options{})
	})
	t.Run("LinkedDirectory", func(t *testing.T) {
		path := newPath(t)
		os.Mkdir(filepath.Dir(path)+".real", 0o700)
		os.Symlink(filepath.Dir(path)+".real", filepath.Dir(path))
		refused(t, path, ledger.Options{})
	})
	t.Run("OtherOwner", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can give a file away")
		}
		path := newPath(t)
		open(t, path, ledger.Options{}).Close()
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		refused(t, path, ledger.Options{})
	})
	t.Run("NotALedger", func(t *testing.T) {
		path := newPath(t)
		os.Mkdir(filepath.Dir(path), 0o700)
		os.WriteFile(path, []byte("something else entirely, and long enough to look at"), 0o600)
		refused(t, path, ledger.Options{})
	})
	t.Run("MissingForReading", func(t *testing.T) {
		path := newPath(t)
		refused(t, path, ledger.Options{ReadOnly: true})
		if _, err := os.Stat(filepath.Dir(path)); err == nil {
			t.Error("opening for reading made the directory")
		}
	})
}

func TestFileModes(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	started(t, l)
	for _, f := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		fi, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %#o", filepath.Base(f), fi.Mode().Perm())
		}
	}
	if fi, _ := os.Stat(filepath.Dir(path)); fi.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %#o", fi.Mode().Perm())
	}
}

func TestPrefix(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	a, b := started(t, l), started(t, l)
	if got, err := l.Resolve(t.Context(), a.ID()); err != nil || got != a.ID() {
		t.Errorf("Resolve(whole) = %q, %v", got, err)
	}
	n := 0
	for a.ID()[n] == b.ID()[n] {
		n++
	}
	if got, err := l.Resolve(t.Context(), b.ID()[:n+1]); err != nil || got != b.ID() {
		t.Errorf("Resolve(unique) = %q, %v", got, err)
	}
	if _, err := l.Resolve(t.Context(), a.ID()[:n]); !errors.Is(err, ledger.ErrAmbiguous) {
		t.Errorf("Resolve(common) gave %v", err)
	}
	for _, bad := range []string{"", "ffff", "xyz", a.ID() + "0"} {
		if _, err := l.Resolve(t.Context(), bad); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("Resolve(%q) gave %v", bad, err)
		}
	}
}

func TestOwnership(t *testing.T) {
	path := newPath(t)
	l, m := open(t, path, ledger.Options{}), open(t, path, ledger.Options{})
	r := started(t, l)
	state := func(l *ledger.Ledger) ledger.State {
		t.Helper()
		s, err := l.Run(t.Context(), r.ID())
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	if got := state(l); got != ledger.Running {
		t.Errorf("owner sees %s", got)
	}
	if got := state(m); got != ledger.Running {
		t.Errorf("other handle sees %s", got)
	}
	r.Close()
	if got := state(m); got != ledger.Crashed {
		t.Errorf("after Close: %s", got)
	}
	if _, err := r.Append(t.Context(), say("late")); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("append after Close gave %v", err)
	}
}

func TestManyWriters(t *testing.T) {
	path := newPath(t)
	const runs, events = 4, 20
	var wg sync.WaitGroup
	ids := make([]string, runs)
	for i := range runs {
		l := open(t, path, ledger.Options{})
		wg.Go(func() {
			r := begin(t, l, ledger.RunInfo{})
			ids[i] = r.ID()
			e := agent.Event{Body: &agent.RunStart{Task: agent.Text("t")}}
			for n := range events {
				if _, err := r.Append(context.Background(), e); err != nil {
					t.Errorf("run %d: %v", i, err)
					return
				}
				e = say(fmt.Sprint(n))
			}
		})
	}
	wg.Wait()
	l := open(t, path, ledger.Options{ReadOnly: true})
	for _, id := range ids {
		ev, err := l.ReadAll(t.Context(), id)
		if err != nil || len(ev) != events {
			t.Errorf("read %d events, %v", len(ev), err)
		}
	}
}

func TestFollow(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	from := open(t, path, ledger.Options{ReadOnly: true})
	r := started(t, l)
	var seen int64
	follow := func() (n int) {
		t.Helper()
		for e, err := range from.EventsAfter(t.Context(), r.ID(), seen) {
			if err != nil {
				t.Fatal(err)
			}
			seen = e.Seq
			n++
		}
		return n
	}
	if n := follow(); n != 1 {
		t.Errorf("first look: %d events, want 1", n)
	}
	add(t, r, say("one"))
	add(t, r, say("two"))
	if n := follow(); n != 2 || seen != 3 {
		t.Errorf("second look: %d events up to %d, want 2 up to 3", n, seen)
	}
	if n := follow(); n != 0 {
		t.Errorf("third look: %d events, want none", n)
	}
	for _, err := range from.EventsAfter(t.Context(), r.ID(), 9) {
		if err == nil {
			t.Error("events after one that does not exist")
		}
	}
}

// TestStop ends a reading early; the connection must be free again.
func TestStop(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	r := started(t, l)
	for range 3 {
		add(t, r, say("x"))
	}
	for range 20 {
		for e, err := range l.Events(t.Context(), r.ID()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Seq == 2 {
				break
			}
		}
	}
}

func TestReadOnlyRefusesRuns(t *testing.T) {
	path := newPath(t)
	open(t, path, ledger.Options{}).Close()
	l := open(t, path, ledger.Options{ReadOnly: true})
	if _, err := l.Begin(t.Context(), ledger.RunInfo{}); !errors.Is(err, ledger.ErrReadOnly) {
		t.Errorf("Begin gave %v", err)
	}
}
