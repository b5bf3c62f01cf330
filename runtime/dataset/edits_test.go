package dataset_test

import (
	"context"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
)

// editedRun is a run in which a person changed the model's call, perhaps twice, before it ran.
func editedRun(status agent.CallStatus, args ...string) []agent.Event {
	s := &script{}
	s.open("Delete the old file.", true)
	g := s.gen(agent.PurposeAgent, 8, "call", 0, []int32{1, 2}, []int32{17}, []float32{-0.5}, []float32{-0.5}, 0)
	c := agent.ToolCall{ID: "c0", Tool: "run_command", Args: `{"command":"rm -rf ."}`}
	said := s.add(g, turn("I delete everything.", []agent.ToolCall{c}, ""))
	for i, a := range args {
		v := s.call(said, c.Digest(), &agent.Judged{By: "gate", Outcome: agent.Ask})
		q := s.call(v, c.Digest(), &agent.Asked{About: "call", Call: agent.JSON(c)})
		ans := s.call(q, c.Digest(), &agent.Answered{Choice: agent.ChoiceEdit, Who: "ann", Via: "terminal", Args: agent.Text(a)})
		d := s.call(ans, c.Digest(), &agent.Decided{Tool: c.Tool, Call: agent.JSON(c), Outcome: agent.Deny, By: "user"})
		s.call(d, c.Digest(), &agent.CallEnd{Status: agent.CallDenied, Code: "user_edited"})
		s.add(d, toolSays(c, "denied: the user said no"))
		c = agent.ToolCall{ID: "e" + string(rune('0'+i)), Tool: c.Tool, Args: a}
		b := turn("", []agent.ToolCall{c}, "")
		b.By = "user"
		said = s.add(0, b)
	}
	v := s.call(said, c.Digest(), &agent.Judged{By: "gate", Outcome: agent.Allow})
	d := s.call(v, c.Digest(), &agent.Decided{Tool: c.Tool, Call: agent.JSON(c), Outcome: agent.Allow, By: "gate"})
	s.call(d, c.Digest(), &agent.CallStart{Cell: true})
	end := s.call(d, c.Digest(), &agent.CallEnd{Status: status, Out: agent.Text("gone")})
	s.add(end, toolSays(c, "<data 00>\ngone\n</data 00>"))
	g = s.gen(agent.PurposeAgent, 9, "Done.", 0, []int32{1, 2, 17}, []int32{18}, []float32{-0.5}, []float32{-0.5}, 0)
	s.add(g, turn("", nil, "Done."))
	s.add(0, &agent.RunEnd{Status: agent.StatusDone, Steps: 2})
	s.add(5, &agent.Labelled{Channel: agent.UserPrompt, Value: agent.Benign, Source: "task"})
	return s.events
}

func TestEditsMakePairs(t *testing.T) {
	for name, c := range map[string]struct {
		status agent.CallStatus
		args   []string
		chosen string // "" for no pair
	}{
		"TheChangedCallIsChosen":  {agent.CallOK, []string{`{"command":"rm old"}`}, `{"command":"rm old"}`},
		"TheLastOfSeveralChanges": {agent.CallOK, []string{`{"command":"rm x"}`, `{"command":"rm old"}`}, `{"command":"rm old"}`},
		"AFailedOneIsNotChosen":   {agent.CallError, []string{`{"command":"rm old"}`}, ""},
		"NothingChangedNoPair":    {agent.CallOK, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := memory{id(5): editedRun(c.status, c.args...)}
			tr, err := dataset.Read(context.Background(), m, dataset.Run{ID: id(5)})
			if err != nil {
				t.Fatal(err)
			}
			list := dataset.Pairs([]*dataset.Trajectory{tr}, dataset.PairOptions{}, dataset.RewardOptions{})
			if c.chosen == "" {
				if len(list) > 0 {
					t.Errorf("pairs %+v", list)
				}
				return
			}
			if len(list) != 1 {
				t.Fatalf("%d pairs", len(list))
			}
			p := list[0]
			if p.Source != "edit" || p.AfterDenial || p.Chosen.Calls[0].Args != c.chosen || p.Rejected.Calls[0].Args != `{"command":"rm -rf ."}` ||
				p.Chosen.Thought+p.Rejected.Thought != "" || len(p.Prompt) != 2 {
				t.Errorf("pair %+v", p)
			}
		})
	}
}

// TestEditedTurnsAreNotTheModels holds what a person wrote out of the reward and of what
// is imitated.
func TestEditedTurnsAreNotTheModels(t *testing.T) {
	tr, err := dataset.Read(context.Background(), memory{id(5): editedRun(agent.CallOK, `{"command":"rm old"}`)}, dataset.Run{ID: id(5)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tr.Steps); n != 3 || tr.Steps[1].By != "user" || tr.Steps[1].Trainable() {
		t.Errorf("%d steps, %+v", n, tr.Steps)
	}
	r := dataset.RewardOptions{}.Score(tr)
	if len(r.Points.Act) != 2 {
		t.Errorf("decision points %v", r.Points.Act)
	}
	for _, o := range []dataset.Options{{Format: "trl-dpo"}, {Format: "openai", Pairs: true}, {Format: "openai"}, {Format: "tokens"}, {Format: "atif"}} {
		dir := t.TempDir()
		_, _, err := dataset.Export(context.Background(), memory{id(5): editedRun(agent.CallOK, `{"command":"rm old"}`)}, []dataset.Run{{ID: id(5)}}, o, nil, dataset.About{}, dir)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := dataset.Check(dir); err != nil || c.Rows != 1 && o.Format != "tokens" {
			t.Errorf("%s: %+v %v", o.Format, c, err)
		}
	}
}
