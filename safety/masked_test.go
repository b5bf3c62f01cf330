package safety_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
)

// taker is a benign reviewer that takes a step as told where no grammar binds it.
type taker struct {
	*model
	turn agent.Turn
	err  error
	saw  []agent.Message
}

func (k *taker) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if r.Grammar != "" {
		return k.model.Generate(ctx, r)
	}
	k.saw = r.Messages
	k.turn.Gen = 99
	return k.turn, k.err
}

// TestMaskedReview hides the task: the same call again asks, and nothing it says can
// loosen a verdict.
func TestMaskedReview(t *testing.T) {
	call := func(path, content string) agent.Turn {
		return agent.Turn{Parse: agent.ParseClean, Calls: []agent.ToolCall{{Tool: "write_file", Args: args(t, "path", path, "content", content)}}}
	}
	broken := errors.New("engine broke")
	for name, tt := range map[string]struct {
		turn    agent.Turn
		err     error
		tainted bool
		want    agent.Outcome
	}{
		"SameCall":        {call("a.txt", "x"), nil, true, agent.Ask},
		"SameAim":         {call("a.txt", "y"), nil, true, agent.Ask},
		"OtherAim":        {call("b.txt", "x"), nil, true, agent.Allow},
		"NoCall":          {agent.Turn{Parse: agent.ParseClean, Answer: "what?"}, nil, true, agent.Allow},
		"Unreadable":      {agent.Turn{Parse: agent.ParseFailed}, nil, true, agent.Ask},
		"Error":           {agent.Turn{}, broken, true, agent.Deny},
		"CleanIsNotAsked": {agent.Turn{}, broken, false, agent.Allow},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, safety.Options{Masked: true, Adds: everyTool, Exists: func(string) bool { return false }})
			conv := asked("write x to a.txt")
			if tt.tainted {
				conv = read(conv, "notes.txt", "plain")
			}
			c, p := propose(conv, "write_file", args(t, "path", "a.txt", "content", "x"), "write_file")
			m := &taker{model: benign(), turn: tt.turn, err: tt.err}
			v, err := g.Call(t.Context(), m, c, p)
			if v.Outcome != tt.want || (err != nil) != (tt.want == agent.Deny) {
				t.Fatalf("%v, %v; want %v: %+v", v.Outcome, err, tt.want, v)
			}
			for _, msg := range m.saw {
				if strings.Contains(msg.Text, "write x to a.txt") {
					t.Error("the task was shown")
				}
			}
			if tt.tainted && m.saw[len(m.saw)-1].Role != agent.Tool {
				t.Errorf("the step was taken after %+v", m.saw[len(m.saw)-1])
			}
		})
	}
}

func TestDriftedToolIsDenied(t *testing.T) {
	g := newGate(t, safety.Options{Drifted: func(s agent.ToolSpec) bool { return s.Name == "read_file" }})
	c, p := propose(asked("read a.txt"), "read_file", `{"path":"a.txt"}`)
	if v, err := g.Call(t.Context(), benign(), c, p); err != nil || v.Outcome != agent.Deny {
		t.Errorf("%+v, %v", v, err)
	}
	c, p = propose(asked("2+2"), "calculator", `{}`)
	if v := g.Rules(c, p); v.Outcome != agent.Allow {
		t.Errorf("another tool: %+v", v)
	}
}
