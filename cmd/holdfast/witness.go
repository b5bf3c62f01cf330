package main

import (
	"encoding/json"
	"fmt"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// witness gathers what a score needs from the committed events of one run. It is used
// on the run's goroutine.
type witness struct {
	proposed  []agent.ToolCall
	request   eval.Opinion
	responses []eval.Response
	err       error

	ended int64  // position of the last call's end
	text  string // what that call returned
}

// see takes one event. It is a loop.Config.Observe.
func (w *witness) see(e agent.Event) {
	switch b := e.Body.(type) {
	case *agent.Turned:
		w.turn(b)
	case *agent.CallEnd:
		w.ended, w.text = e.Seq, b.Out.String()
	case *agent.Labelled:
		o := eval.Opinion{Label: b.Value, Probs: b.P}
		switch {
		case b.Channel == agent.UserPrompt:
			w.request = o
		case len(b.Gens) > 0 && e.Ref == w.ended: // others were not screened
			w.responses = append(w.responses, eval.Response{Text: w.text, Opinion: o})
		}
	}
}

func (w *witness) turn(b *agent.Turned) {
	if b.Calls == nil {
		return
	}
	var calls []agent.ToolCall
	if err := json.Unmarshal(b.Calls.Data, &calls); err != nil {
		w.err = fmt.Errorf("read the calls of a turn: %w", err)
		return
	}
	w.proposed = append(w.proposed, calls...)
}
