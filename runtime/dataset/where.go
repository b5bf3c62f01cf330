package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// WhereHelp names what an expression of [NewWhere] speaks of.
const WhereHelp = "run, thread, task, group, relation, status, model: texts; sample, steps, tokens: numbers; started, now: times;\n" +
	"human: a person answered; tools: those called; labels: by channel, the strictest of tasks and people; scores and reward: by name.\n" +
	"What a run does not have is absent: has(reward.total) && reward.total >= 0.5"

// Where chooses runs by a CEL expression over what a run was and how it ended. It may be
// used by several goroutines.
type Where struct {
	program cel.Program
	reward  RewardOptions
	now     time.Time // of all runs the same
}

// whereCost bounds the work of one evaluation.
const whereCost = 1_000_000

var whereEnv = sync.OnceValues(func() (*cel.Env, error) {
	text, number := cel.StringType, cel.MapType(cel.StringType, cel.DoubleType)
	return cel.NewEnv(
		cel.CrossTypeNumericComparisons(true),
		cel.ExpressionNestingDepthLimit(64), cel.ParserExpressionSizeLimit(20_000),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
		cel.Variable("run", text), cel.Variable("thread", text), cel.Variable("task", text), cel.Variable("group", text),
		cel.Variable("relation", text), cel.Variable("status", text), cel.Variable("model", text),
		cel.Variable("sample", cel.IntType), cel.Variable("steps", cel.IntType), cel.Variable("tokens", cel.IntType),
		cel.Variable("started", cel.TimestampType), cel.Variable("now", cel.TimestampType), cel.Variable("human", cel.BoolType),
		cel.Variable("tools", cel.ListType(text)), cel.Variable("labels", cel.MapType(text, text)),
		cel.Variable("scores", number), cel.Variable("reward", number),
	)
})

// NewWhere reads an expression, which must be of type bool. See [WhereHelp].
func NewWhere(expression string, r RewardOptions) (*Where, error) {
	env, err := whereEnv()
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	checked, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, fmt.Errorf("read expression: %w", issues.Err())
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("read expression: it gives %s, not true or false", checked.OutputType())
	}
	p, err := env.Program(checked, cel.CostLimit(whereCost))
	if err != nil {
		return nil, fmt.Errorf("read expression: %w", err)
	}
	return &Where{p, r, time.Now()}, nil
}

// Match reports whether a run is chosen. An expression that errs, as one that speaks of
// a reward that a run does not have, is an error: a choice must not depend on accidents.
func (w *Where) Match(t *Trajectory) (bool, error) {
	v, _, err := w.program.Eval(w.facts(t))
	if err != nil {
		return false, fmt.Errorf("choose run %s: %w", t.Run.ID, err)
	}
	yes, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("choose run %s: %w", t.Run.ID, errors.New("neither true nor false"))
	}
	return yes, nil
}

// Choose lists those of the runs that are chosen, in their order.
func (w *Where) Choose(ctx context.Context, src Source, runs []Run) ([]Run, error) {
	var out []Run
	for _, r := range runs {
		t, err := Read(ctx, src, r)
		if err != nil {
			return nil, err
		}
		yes, err := w.Match(t)
		if err != nil {
			return nil, err
		}
		if yes {
			out = append(out, r)
		}
	}
	return out, nil
}

func (w *Where) facts(t *Trajectory) map[string]any {
	tokens, human := 0, t.Prompt.byPerson()
	for _, g := range t.Gens {
		tokens += len(g.IDs)
	}
	tools := []string{}
	for _, s := range t.Steps {
		for _, c := range s.Calls {
			human = human || c.byPerson() || c.Response.byPerson()
			if !slices.Contains(tools, c.Tool) {
				tools = append(tools, c.Tool)
			}
		}
	}
	labels, strictest := map[string]string{}, map[agent.Channel]agent.Label{}
	for _, l := range t.Labels {
		if slices.Contains(labelSources, l.Source) && l.Value > strictest[l.Channel] {
			strictest[l.Channel], labels[l.Channel.String()] = l.Value, l.Value.String()
		}
	}
	scores := map[string]float64{}
	for _, s := range t.Scores {
		scores[s.Name] = s.Value
	}
	return map[string]any{
		"run": t.Run.ID, "thread": t.Run.Thread, "task": t.Run.Task, "group": t.Run.Group, "relation": t.Run.Relation,
		"status": string(t.Status()), "model": t.Model.GGUF, "sample": t.Run.Sample, "steps": len(t.Steps), "tokens": tokens,
		"started": t.Run.At, "now": w.now, "human": human, "tools": tools, "labels": labels, "scores": scores, "reward": w.reward.Score(t).parts(),
	}
}

// byPerson reports whether a person answered the question, not a script or nobody.
func (j Judgement) byPerson() bool {
	return j.Answer != nil && j.Answer.Who != "" && !slices.Contains([]string{agent.ViaNever, agent.ViaError, "script"}, j.Answer.Via)
}

// parts lists the parts of the whole run that have a value, by their names in exports.
func (r Reward) parts() map[string]float64 {
	out := map[string]float64{}
	for name, v := range map[string]*float64{"total": r.Total, "safe": r.Safe, "gen": r.Gen, "eos": r.EOS, "think": r.Think,
		"label": r.Label, "user": r.User, "tool": r.Tool, "task": r.Task} {
		if v != nil {
			out[name] = *v
		}
	}
	return out
}
