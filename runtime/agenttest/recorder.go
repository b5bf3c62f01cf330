package agenttest

import (
	"context"
	"fmt"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Memory is a recorder in memory. It enforces nothing, so that what it holds shows
// what the loop did. It implements loop.Recorder.
type Memory struct{ Events []agent.Event }

// Append implements loop.Recorder.
func (m *Memory) Append(ctx context.Context, e agent.Event) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	e.Seq = int64(len(m.Events)) + 1
	m.Events = append(m.Events, e)
	return e.Seq, nil
}

// Kinds lists the kinds of the events in order.
func (m *Memory) Kinds() []string {
	var k []string
	for _, e := range m.Events {
		k = append(k, e.Body.Kind())
	}
	return k
}

// Licensed reports whether the events hold, for the call with this digest, a decision
// that allows it and, after it, the start that refers to that decision: what must be
// committed before the call has any effect.
func (m *Memory) Licensed(call [32]byte) error {
	var decided int64
	for _, e := range m.Events {
		if e.Call != call {
			continue
		}
		switch b := e.Body.(type) {
		case *agent.Decided:
			if b.Outcome == agent.Allow {
				decided = e.Seq
			}
		case *agent.CallStart:
			if decided == 0 || e.Ref != decided {
				return fmt.Errorf("start at %d refers to %d, not to an allowing decision", e.Seq, e.Ref)
			}
			return nil
		}
	}
	if decided == 0 {
		return fmt.Errorf("no allowing decision for the call")
	}
	return fmt.Errorf("decision %d is not followed by a start", decided)
}

// Appender is what TestRecorder tests: loop.Recorder.
type Appender interface {
	Append(ctx context.Context, e agent.Event) (int64, error)
}

// TestRecorder is the conformance suite of loop.Recorder. open returns a recorder of a
// new run.
func TestRecorder(t *testing.T, open func(t *testing.T) Appender) {
	ctx := context.Background()
	start := &agent.RunStart{Task: agent.Text("x")}
	t.Run("NumbersFromOne", func(t *testing.T) {
		r := open(t)
		for want := int64(1); want <= 3; want++ {
			var b agent.Body = start
			if want > 1 {
				b = &agent.Said{Role: agent.User, Text: agent.Text("hello")}
			}
			got, err := r.Append(ctx, agent.Event{Body: b})
			if err != nil || got != want {
				t.Fatalf("Append = %d, %v; want %d", got, err, want)
			}
		}
	})
	t.Run("RefusesCancelledContext", func(t *testing.T) {
		r := open(t)
		dead, cancel := context.WithCancel(ctx)
		cancel()
		if n, err := r.Append(dead, agent.Event{Body: start}); err == nil {
			t.Fatalf("Append under a cancelled context gave %d", n)
		}
	})
	t.Run("ShortestAllowedCall", func(t *testing.T) {
		r := open(t)
		call := agent.ToolCall{ID: "c1", Tool: "act", Args: "{}"}
		d := call.Digest()
		for i, e := range []agent.Event{
			{Body: start},
			{Body: &agent.Turned{Parse: agent.ParseClean}},
			{Ref: 2, Call: d, Body: &agent.Judged{By: "gate", Outcome: agent.Allow, Label: agent.Benign}},
			{Ref: 3, Call: d, Body: &agent.Decided{Tool: "act", Call: agent.JSON(call), Outcome: agent.Allow, By: "gate"}},
			{Ref: 4, Call: d, Body: &agent.CallStart{}},
			{Ref: 4, Call: d, Body: &agent.CallEnd{Status: agent.CallOK}},
			{Body: &agent.RunEnd{Status: agent.StatusDone}},
		} {
			if _, err := r.Append(ctx, e); err != nil {
				t.Fatalf("event %d (%s): %v", i+1, e.Body.Kind(), err)
			}
		}
	})
}
