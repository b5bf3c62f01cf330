package ledger

import (
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// TestKinOfARedactedEvent erases one event of those that spell a call: each other spelling
// goes with it, and nothing of the call beside it does.
func TestKinOfARedactedEvent(t *testing.T) {
	one := agent.ToolCall{ID: "1", Tool: "pay", Args: `{"pin": 6220}`}
	two := agent.ToolCall{ID: "2", Tool: "look", Args: `{"at": 1}`}
	about := func(ref int64, c agent.ToolCall, b agent.Body) agent.Event {
		return agent.Event{Ref: ref, Call: c.Digest(), Body: b}
	}
	events := []agent.Event{
		{Body: &agent.RunStart{Task: agent.Text("task")}},
		{Body: &agent.GenStart{}},
		{Ref: 2, Body: &agent.GenEnd{Text: agent.Text("generation")}},
		{Ref: 2, Body: &agent.Turned{Thought: agent.Text("thought"), Calls: agent.JSON([]agent.ToolCall{one, two})}},
		about(4, one, &agent.Judged{Reason: agent.Text("verdict one")}),
		about(4, two, &agent.Judged{Reason: agent.Text("verdict two")}),
		about(5, one, &agent.Decided{Call: agent.JSON(one)}),
		about(6, two, &agent.Decided{Call: agent.JSON(two)}),
		about(7, one, &agent.CallEnd{Out: agent.Text("result one")}),
	}
	for i := range events {
		events[i].Seq = int64(i + 1)
	}
	all := []string{"generation", "thought", "[calls]", "verdict one", "verdict two", "{one}", "{two}"}
	for name, tt := range map[string]struct {
		seq  int64
		want []string
	}{
		"OfTheGeneration": {3, all},
		"OfTheTurn":       {4, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "thought" })}, // is of the event itself
		"OfADecision":     {7, []string{"generation", "[calls]", "verdict one", "{one}"}},
		"OfAResult":       {9, nil},
		"OfTheTask":       {1, nil},
	} {
		k := kinOf(events, tt.seq)
		var got []string
		for _, e := range events {
			_ = eachBlob(e.Body, func(b *agent.Blob) error {
				if k.speaks(e, b) {
					s := b.String()
					switch s {
					case agent.JSON(one).String():
						s = "{one}"
					case agent.JSON(two).String():
						s = "{two}"
					case agent.JSON([]agent.ToolCall{one, two}).String():
						s = "[calls]"
					}
					got = append(got, s)
				}
				return nil
			})
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(tt.want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
