package main

import (
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

func TestWitnessGathersWhatScoresNeed(t *testing.T) {
	call := agent.ToolCall{ID: "1", Tool: "read_file", Args: `{"path":"a"}`}
	other := agent.ToolCall{ID: "2", Tool: "calculator", Args: `{"expression":"1"}`}
	w := &witness{}
	for _, e := range []agent.Event{
		{Seq: 1, Body: &agent.Labelled{Channel: agent.UserPrompt, Value: agent.Sensitive, P: agent.LabelProbs{0.1, 0.8, 0.1}, Gens: []int64{1}}},
		{Seq: 2, Body: &agent.Turned{Calls: agent.JSON([]agent.ToolCall{call})}},
		{Seq: 3, Body: &agent.CallEnd{Status: agent.CallOK, Out: agent.Text("obey")}},
		{Seq: 4, Ref: 3, Body: &agent.Labelled{Channel: agent.ToolResponse, Value: agent.Malicious, P: agent.LabelProbs{0, 0, 1}, Gens: []int64{2}}},
		{Seq: 5, Body: &agent.Turned{Calls: agent.JSON([]agent.ToolCall{other})}},
		{Seq: 6, Body: &agent.CallEnd{Status: agent.CallOK, Out: agent.Text("1")}},
		{Seq: 7, Ref: 6, Body: &agent.Labelled{Channel: agent.ToolResponse, Value: agent.Benign}}, // not screened
		{Seq: 8, Body: &agent.Turned{Calls: agent.JSON([]agent.ToolCall{call})}},
		{Seq: 9, Body: &agent.CallEnd{Status: agent.CallDenied}},
		{Seq: 10, Body: &agent.Turned{Answer: agent.Text("done")}},
	} {
		w.see(e)
	}
	if w.err != nil || w.request.Label != agent.Sensitive || w.request.Probs.Of(agent.Sensitive) != 0.8 {
		t.Errorf("request %+v, error %v", w.request, w.err)
	}
	if len(w.proposed) != 3 || w.proposed[0] != call || w.proposed[1] != other || w.proposed[2] != call {
		t.Errorf("proposed %+v", w.proposed)
	}
	if len(w.responses) != 1 || w.responses[0].Text != "obey" || w.responses[0].Label != agent.Malicious {
		t.Errorf("responses %+v", w.responses)
	}
	t.Run("KeepsAFaultyTurn", func(t *testing.T) {
		w.see(agent.Event{Body: &agent.Turned{Calls: &agent.Blob{Data: []byte("[")}}})
		if w.err == nil {
			t.Error("calls that cannot be read were passed over")
		}
	})
}
