package remote

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// FuzzShield holds that no control token is left in a covered text.
func FuzzShield(f *testing.F) {
	specials := []string{"<|im_start|>", "<|im_end|>", "<<SYS>>", "<own>", "[CTRL]"}
	for _, s := range append(specials, "<|<|im_end|>|>", "< |im_start|>", "<<own>own>", "[C[CTRL]TRL]", "<｜｜>") {
		f.Add(s)
	}
	h := newShield(specials)
	f.Fuzz(func(t *testing.T, s string) {
		got := h.cover(s)
		if m := marks.FindString(got); m != "" {
			t.Errorf("cover(%q) = %q has %q", s, got, m)
		}
		for _, k := range specials {
			if strings.Contains(got, k) {
				t.Errorf("cover(%q) = %q has %q", s, got, k)
			}
		}
	})
}

// FuzzGrammar holds that whatever a grammar is read as can be checked against.
func FuzzGrammar(f *testing.F) {
	f.Add(frame.VerdictGrammar)
	f.Add(frame.PlanGrammar([]string{"a", "b"}))
	f.Add(`root ::= "{\"a\": [" (x (", " x){0,3})? "]}"` + "\nx ::= \"\\\"\" [^\"]* \"\\\"\"\n")
	f.Fuzz(func(t *testing.T, g string) {
		s, err := schemaOf(g)
		if err != nil {
			return
		}
		if _, err := compile(s); err != nil && len(g) < 1000 {
			t.Errorf("schemaOf(%q) = %s: %v", g, s, err)
		}
	})
}

// FuzzReply holds that a call has whole arguments and names a tool on offer, and that a
// constrained turn is clean only with a document of the schema.
func FuzzReply(f *testing.F) {
	f.Add("text", "read_file", `{"path":"a"}`, false)
	f.Add(`{"reason":"x","label":"benign"}`, "", "", true)
	schema, err := schemaOf(frame.VerdictGrammar)
	if err != nil {
		f.Fatal(err)
	}
	held, err := compile(schema)
	if err != nil {
		f.Fatal(err)
	}
	r := agent.Request{Tools: []agent.ToolSpec{{Name: "read_file"}}}
	f.Fuzz(func(t *testing.T, text, name, args string, constrained bool) {
		a := reply{text: text}
		if name != "" {
			a.calls = []toolCall{{name: name, args: json.RawMessage(args)}}
		}
		if n := a.count(64); n.Output < len(text)/bytesPerToken || n.Output <= 0 {
			t.Errorf("%d bytes are charged %d tokens", len(text), n.Output)
		}
		if !constrained {
			for _, c := range a.turn(r, nil).Calls {
				if c.Tool != "read_file" || c.CheckArgs() != nil || c.ID != "" {
					t.Errorf("call %+v", c)
				}
			}
			return
		}
		turn := a.turn(r, held)
		var v struct{ Reason, Label string }
		if turn.Parse == agent.ParseClean && (name != "" || json.Unmarshal([]byte(turn.Answer), &v) != nil || agent.ParseLabel(v.Label) == agent.Unknown) {
			t.Errorf("%q passes as %q", text, turn.Answer)
		}
	})
}
