package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// errDiverged stops a run that is no longer the recorded one.
var errDiverged = errors.New("the run differs from its record")

// Run makes the run again. model is needed in every mode but Decisions, and must be a
// new conversation. judge should be made with what the player says of the
// workspace, the tools and what was given. An error means that the replay itself failed; that the run differs is in the report.
func (p *Player) Run(ctx context.Context, mode Mode, model agent.Generator, judge loop.Judge) (Report, error) {
	f := &performance{p: p, mode: mode, model: model, judge: judge, report: Report{Mode: mode}, marks: map[string]string{}}
	if judge == nil || mode.live() && model == nil {
		return f.report, errors.New("internal error: a replay needs a judge, and a model but in the mode decisions")
	}
	p.current = nil
	limits := p.start.Limits
	limits.Time = 24 * time.Hour // a replay may be slower or faster than the run
	c := loop.Config{
		Model: f, Judge: f, Executor: f, Recorder: f, Approver: f, NewID: f.newID,
		Limits: limits, MaxTokens: p.max, Temp: p.temp, Seed: p.start.Seed,
	}
	t := loop.Task{Prompt: p.start.Task.String(), Data: p.start.Data.String(), Start: *p.start, Model: p.model}
	var err error
	if p.past == nil {
		_, err = loop.Run(ctx, c, t)
	} else {
		_, err = loop.Branch(ctx, c, t, p.past, p.at)
	}
	switch {
	case errors.Is(err, loop.ErrPast), errors.Is(err, loop.ErrChanged):
		return f.report, err
	case ctx.Err() != nil:
		return f.report, context.Cause(ctx)
	case f.report.First != nil, errors.Is(err, errEnded):
		return f.report, nil
	}
	if f.nextEvent < len(p.events) && f.report.First == nil {
		was := p.events[f.nextEvent]
		f.note(Divergence{Seq: was.Seq, Kind: was.Body.Kind(), Recorded: was.Body.Kind(), Replayed: fmt.Sprintf("the end of the run (%v)", err)})
	}
	return f.report, nil
}

var _ loop.Judge = (*performance)(nil)
var _ loop.Executor = (*performance)(nil)
var _ loop.Recorder = (*performance)(nil)
var _ loop.Approver = (*performance)(nil)
var _ agent.Generator = (*performance)(nil)
