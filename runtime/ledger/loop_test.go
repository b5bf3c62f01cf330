package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// failing is a recorder whose append number at fails.
type failing struct {
	loop.Recorder
	at, n int
}

func (f *failing) Append(ctx context.Context, e agent.Event) (int64, error) {
	if f.n++; f.n == f.at {
		return 0, agenttest.ErrFault
	}
	return f.Recorder.Append(ctx, e)
}

// TestLoop runs the real loop over a ledger, failing each operation of a run in turn:
// the loop must never write what the ledger refuses, and at the moment of each effect
// its decision and start must be in the file.
func TestLoop(t *testing.T) {
	path := memoryPath(t)
	l := open(t, path, ledger.Options{})
	from := open(t, path, ledger.Options{ReadOnly: true})
	for _, o := range []agent.Outcome{agent.Allow, agent.Ask, agent.Deny} {
		for _, c := range []agent.Choice{agent.ChoiceOnce, agent.ChoiceDeny, agent.ChoiceStop, agent.ChoiceSuspend} {
			if o != agent.Ask && c != agent.ChoiceOnce {
				continue // nobody is asked
			}
			t.Run(fmt.Sprintf("Call%sAnswer%s", o, c), func(t *testing.T) {
				runFaults(t, l, from, o, c)
			})
		}
	}
	rep, err := from.Verify(t.Context())
	if err != nil || !rep.OK() {
		t.Errorf("%v\n%v%v%v", err, rep, rep.Integrity, rep.Completeness)
	}
	for _, o := range rep.Open {
		if o.State == ledger.Running {
			t.Errorf("run %s still has an owner", o.ID)
		}
	}
}

// memoryPath names a ledger that lies in memory where the machine has room for it, for
// tests that commit much and are not about the disk.
func memoryPath(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "ledger")
	if err != nil {
		return newPath(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "ledger", "ledger.db")
}

func runFaults(t *testing.T, l, from *ledger.Ledger, o agent.Outcome, c agent.Choice) {
	for _, recorder := range []bool{true, false} {
		for i := 1; ; i++ {
			f, r := &agenttest.Faults{At: i}, &failing{}
			if recorder {
				f, r = &agenttest.Faults{}, &failing{at: i}
			}
			effects, err := runLoop(t, l, from, f, r, o, c)
			if r.at == 0 && errors.Is(err, loop.ErrRecord) {
				t.Fatalf("fault %d: the ledger refused an event of the loop: %v", i, err)
			}
			if effects > 0 && (o == agent.Deny || o == agent.Ask && c != agent.ChoiceOnce) {
				t.Fatalf("fault %d: %d effects", i, effects)
			}
			if f.At > f.Count || r.at > r.n {
				if want := o == agent.Allow || o == agent.Ask && c == agent.ChoiceOnce; (effects > 0) != want {
					t.Errorf("without a fault: %d effects", effects)
				}
				break
			}
		}
	}
}

func runLoop(t *testing.T, l, from *ledger.Ledger, f *agenttest.Faults, rec *failing, o agent.Outcome, c agent.Choice) (int, error) {
	t.Helper()
	r, err := l.Begin(t.Context(), ledger.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rec.Recorder = r
	judge := agenttest.Permissive()
	judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: o, Label: agent.Benign} }
	exec := &agenttest.Executor{At: func(call agent.ToolCall) {
		ev, err := from.ReadAll(t.Context(), r.ID())
		if err != nil || !licensed(ev, fmt.Sprintf("%x", call.Digest())) {
			t.Errorf("effect of a call without a decision and a start in the file (%v)", err)
		}
	}}
	_, err = loop.Run(t.Context(), loop.Config{
		Model: agenttest.FaultyModel{Faults: f, M: &agenttest.Script{Turns: []agent.Turn{
			agenttest.Calls("I act.", "act", "{}"), agenttest.Calls("Badly.", "act", `{"bad":1}`), agenttest.Answers("done")}}},
		Judge: agenttest.FaultyJudge{Faults: f, J: judge}, Executor: agenttest.FaultyExecutor{Faults: f, Executor: exec},
		Approver: agenttest.FaultyApprover{Faults: f, A: &agenttest.Approver{Choice: c}}, Recorder: rec,
	}, loop.Task{Prompt: "do it"})
	return len(exec.Effects), err
}
