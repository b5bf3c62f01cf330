package main

import (
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// TestShortAnswerIsTold ends a run whose last turn broke off at its limit, or one before it:
// what stands there as the answer is not all of it.
func TestShortAnswerIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		first, last agent.Finish
		told        bool
	}{
		"TheAnswerBrokeOff":  {agent.FinishEOS, agent.FinishLength, true},
		"AnEarlierTurnDid":   {agent.FinishLength, agent.FinishEOS, false},
		"EveryTurnWentToEnd": {agent.FinishEOS, agent.FinishEOS, false},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			seen := &observed{}
			for i, finish := range []agent.Finish{tt.first, tt.last} {
				at := int64(10 * i)
				seen.see(agent.Event{Seq: at + 1, Body: &agent.GenStart{Purpose: agent.PurposeAgent}})
				seen.see(agent.Event{Seq: at + 2, Ref: at + 1, Body: &agent.GenEnd{Finish: finish}})
				seen.see(agent.Event{Seq: at + 3, Body: &agent.GenStart{Purpose: agent.PurposeReview}})
				seen.see(agent.Event{Seq: at + 4, Ref: at + 3, Body: &agent.GenEnd{Finish: agent.FinishEOS}})
			}
			term := newTerminal(strings.NewReader(""), &said, &said)
			app := newApp(term)
			for _, c := range app.Commands {
				if c.Name == "run" {
					c.Action = func(c *cli.Context) error {
						return conclude(c, term, &ledger.Ledger{}, "id", loop.Outcome{Status: agent.StatusDone, Answer: "one, two"}, seen, nil)
					}
				}
			}
			if err := app.Run([]string{"holdfast", "run", "count"}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(said.String(), "the answer breaks off") != tt.told || !strings.Contains(said.String(), "one, two") {
				t.Errorf("it says\n%s", said.String())
			}
		})
	}
}
