package main

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/tools"
)

// TestRefusedFormIsNoFalseRecord: what the program of a tool of the user's own refused cannot be
// told from its declaration; what a built-in tool refused can.
func TestRefusedFormIsNoFalseRecord(t *testing.T) {
	schema := json.RawMessage(`{"type":"object","properties":{"file":{"type":"string"}},"required":["file"],"additionalProperties":false}`)
	own := agent.ToolSpec{Name: "count", Description: "counts words", Schema: schema, Effect: agent.Read}
	var read agent.ToolSpec
	for _, s := range tools.Builtin() {
		if s.Name == "read_file" {
			read = s
		}
	}
	for name, c := range map[string]struct {
		spec agent.ToolSpec
		args string
		code string
		want bool
	}{
		"OwnRefusedByItsProgram": {own, `{"file":"-rf"}`, "bad_arguments", true},
		"OwnRefusedByItsSchema":  {own, `{}`, "bad_arguments", true},
		"BuiltInRefused":         {read, `{}`, "bad_arguments", true},
		"BuiltInFalselyRefused":  {read, `{"path":"a.txt"}`, "bad_arguments", false},
		"OwnFalselyUnknown":      {own, `{}`, "unknown_tool", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := &safety.Recorded{On: safety.OnCall, Known: true, Spec: c.spec, Call: agent.ToolCall{Tool: c.spec.Name, Args: c.args},
				Verdict: &agent.Judged{By: "loop", Outcome: agent.Deny, Code: c.code}}
			if e := r.Explain(formOf(r)); e.Reproduced() != c.want {
				t.Errorf("reproduced %v: %+v", e.Reproduced(), e)
			}
		})
	}
}
