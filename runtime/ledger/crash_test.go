package ledger_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// TestKilledWriter kills a writer at random moments, also while it opens the file, and
// expects every acknowledged event and a whole ledger.
func TestKilledWriter(t *testing.T) {
	path := newPath(t)
	rounds := 10
	if testing.Short() {
		rounds = 5
	}
	var log []string
	acked := 0
	for i := range rounds {
		p := startChild(t, path)
		p.read(rand.IntN(60))
		p.kill()
		log = append(log, p.log...)
		l := open(t, path, ledger.Options{})
		acked = checkLog(t, l, log)
		rep, err := l.Verify(t.Context())
		if err != nil || !rep.OK() {
			t.Fatalf("round %d: %v\n%v%v%v", i, err, rep, rep.Integrity, rep.Completeness)
		}
		recoverAll(t, l)
		l.Close()
	}
	if acked == 0 {
		t.Error("nothing was ever acknowledged")
	}
	t.Logf("%d acknowledged events over %d kills", acked, rounds)
}

func recoverAll(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	ids, err := l.Crashed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		r, err := l.Recover(t.Context(), id)
		if err != nil {
			t.Fatalf("recover %s: %v", id, err)
		}
		add(t, r, agent.Event{Body: &agent.RunEnd{Status: agent.StatusError}})
		r.Close()
	}
	rep, err := l.Verify(t.Context())
	if err != nil || !rep.OK() || len(rep.Open) != 0 || len(rep.Unfinished) != 0 {
		t.Fatalf("after recovery: %v\n%v open %v, unfinished %v", err, rep, rep.Open, rep.Unfinished)
	}
}

// TestTwoProcesses lets two processes write one file while this one reads, and kills
// one of them.
func TestTwoProcesses(t *testing.T) {
	path := newPath(t)
	a, b := startChild(t, path), startChild(t, path)
	a.read(40)
	b.read(40)
	l := open(t, path, ledger.Options{ReadOnly: true})
	running := 0
	for range 50 { // now and then both are between two runs
		rep, err := l.Verify(t.Context())
		if err != nil || !rep.OK() {
			t.Fatalf("while both write: %v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
		}
		for _, o := range rep.Open {
			if o.State == ledger.Running {
				running++
			}
		}
		if running > 0 {
			break
		}
	}
	if running == 0 {
		t.Error("no run is seen as running while two processes write")
	}
	a.kill()
	b.read(40)
	b.kill()
	checkLog(t, l, append(a.log, b.log...))
	if rep, err := l.Verify(t.Context()); err != nil || !rep.OK() {
		t.Errorf("after both were killed: %v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
	}
}

// TestRecover leaves a call open, as a crash would, and takes the run over.
func TestRecover(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	r := started(t, l)
	add(t, r, verdict(callA, agent.Allow))
	d := add(t, r, decision(callA, 2, agent.Allow))
	add(t, r, start(callA, d))
	if _, err := l.Recover(t.Context(), r.ID()); !errors.Is(err, ledger.ErrOwned) {
		t.Errorf("recovering an owned run gave %v", err)
	}
	if _, err := open(t, path, ledger.Options{}).Recover(t.Context(), r.ID()); !errors.Is(err, ledger.ErrOwned) {
		t.Errorf("recovering from another handle gave %v", err)
	}
	r.Close()
	rep, err := l.Verify(t.Context())
	if err != nil || !rep.OK() {
		t.Fatalf("%v\n%v", err, rep)
	}
	if len(rep.Unfinished) != 1 || rep.Unfinished[0].Call != callA || rep.Unfinished[0].Decision != d {
		t.Errorf("unfinished = %+v", rep.Unfinished)
	}
	if ids, err := l.Crashed(t.Context()); err != nil || len(ids) != 1 || ids[0] != r.ID() {
		t.Errorf("Crashed = %v, %v", ids, err)
	}
	n, err := l.Recover(t.Context(), r.ID()[:30])
	if err != nil {
		t.Fatal(err)
	}
	if n.Last() != 6 {
		t.Errorf("Last = %d, want 6", n.Last())
	}
	ev, err := l.ReadAll(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := ev[4].Body.(*agent.RunRecover); !ok || b.Last != 4 || len(b.Unknown) != 1 || b.Unknown[0] != d {
		t.Errorf("event 5 = %+v", ev[4].Body)
	}
	if b, ok := ev[5].Body.(*agent.CallEnd); !ok || b.Status != agent.CallUnknown || ev[5].Call != callA || ev[5].Ref != d {
		t.Errorf("event 6 = %+v", ev[5])
	}
	if _, err := n.Append(t.Context(), start(callA, d)); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("starting the unknown call again gave %v", err)
	}
	add(t, n, finish())
	n.Close()
	if _, err := l.Recover(t.Context(), r.ID()); !errors.Is(err, ledger.ErrEnded) {
		t.Errorf("recovering an ended run gave %v", err)
	}
}

func TestSuspendedRun(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	r := started(t, l)
	add(t, r, verdict(callA, agent.Ask))
	q := add(t, r, ask(callA, 2))
	r.Close()
	s, err := l.Run(t.Context(), r.ID())
	if err != nil || s.State != ledger.Suspended {
		t.Fatalf("state = %s, %v", s.State, err)
	}
	n, err := l.Recover(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	a := add(t, n, answer(callA, q, agent.ChoiceOnce))
	d := add(t, n, decision(callA, a, agent.Allow))
	add(t, n, start(callA, d))
	n.Close()
	if s, err := l.Run(t.Context(), r.ID()); err != nil || s.State != ledger.Crashed {
		t.Errorf("state = %s, %v", s.State, err)
	}
}

// TestInterruptedRun wants a run whose last event says that it was interrupted to be
// suspended, not crashed, until it goes on.
func TestInterruptedRun(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	r := started(t, l)
	state := func() ledger.State {
		t.Helper()
		s, err := l.Run(t.Context(), r.ID())
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	add(t, r, agent.Event{Body: &agent.Failed{Where: "elsewhere", Text: agent.Text("x")}})
	r.Close()
	if got := state(); got != ledger.Crashed {
		t.Errorf("after another error it is %s", got)
	}
	n, err := l.Recover(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	add(t, n, agent.Event{Body: &agent.Failed{Where: agent.Interrupted, Text: agent.Text("x")}})
	if got := state(); got != ledger.Running {
		t.Errorf("before its owner left it is %s", got)
	}
	n.Close()
	if got := state(); got != ledger.Suspended {
		t.Errorf("after the interrupt it is %s", got)
	}
	if crashed, err := l.Crashed(t.Context()); err != nil || len(crashed) != 0 {
		t.Errorf("crashed are %v, %v", crashed, err)
	}
	if n, err = l.Recover(t.Context(), r.ID()); err != nil {
		t.Fatal(err)
	}
	n.Close()
	if got := state(); got != ledger.Crashed {
		t.Errorf("after it went on it is %s", got)
	}
}

// TestDiskFull fills the disk under a writer: it must fail cleanly, refuse to go on,
// and have lost nothing that it acknowledged.
func TestDiskFull(t *testing.T) {
	check := func(t *testing.T, p *writerProc, path string) {
		t.Helper()
		p.read(1 << 30)
		p.cmd.Wait()
		last := p.log[len(p.log)-1]
		if !strings.HasPrefix(last, "error append") {
			t.Fatalf("the writer ended with %q", last)
		}
		if strings.Contains(last, "append succeeded after") {
			t.Error(last)
		}
		l := open(t, path, ledger.Options{ReadOnly: true})
		if acked := checkLog(t, l, p.log); acked < 10 {
			t.Errorf("only %d events were acknowledged before the disk was full", acked)
		}
		rep, err := l.Verify(t.Context())
		if err != nil || !rep.OK() {
			t.Errorf("%v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
		}
		t.Logf("%s; %d lines", last, len(p.log))
	}
	t.Run("SizeLimit", func(t *testing.T) {
		path := newPath(t)
		check(t, startChild(t, path, childEnv+"_FSIZE=300000"), path)
	})
	t.Run("SmallTmpfs", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can mount a tmpfs")
		}
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
			t.Skip("cannot mount a tmpfs:", err)
		}
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
		path := filepath.Join(dir, "ledger", "ledger.db")
		check(t, startChild(t, path), path)
		l := open(t, path, ledger.Options{ReadOnly: true})
		if w := l.Warnings(); len(w) != 1 || !strings.Contains(w[0], "tmpfs") {
			t.Errorf("warnings = %v", w)
		}
	})
}
