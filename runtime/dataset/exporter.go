package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Formats lists the formats of [Export].
var Formats = []string{"atif", "openai", "trl-sft", "trl-dpo", "trl-kto", "trl-grpo", "tokens", "sharegpt"}

// The layouts of token rows.
const (
	LayoutVerl  = "verl"
	LayoutPrime = "prime"
)

// Options say what is exported and how. Format is required.
type Options struct {
	Format    string
	Pairs     bool   // openai: preference pairs instead of paths
	Shape     string // trl-sft: "" for paths, "turns" for one row a turn
	Role      string // tokens: "" or "agent", or "review" for the judge's generations
	Layout    string // tokens: "" is verl
	Logprobs  string // tokens: raw, sampled, or "" where the two do not differ
	Imitate   bool   // tokens: for supervised training
	Realign   int    // tokens: 0 is DefaultRealign
	Thoughts  bool   // chat formats: write thoughts as reasoning_content
	Bare      bool   // without the x_ members
	ToolsText bool   `json:",omitempty"` // trl: tools as JSON text
	Parquet   bool   // tokens: Parquet instead of JSON lines

	Reward RewardOptions
	Pair   PairOptions
	Splits Splits
}

// Validate joins every fault of the options.
func (o Options) Validate() error {
	var errs []error
	only := func(set bool, name string, formats ...string) {
		if set && !slices.Contains(formats, o.Format) {
			errs = append(errs, fmt.Errorf("%s: only with %s", name, strings.Join(formats, ", ")))
		}
	}
	oneOf := func(name, v string, of ...string) {
		if !slices.Contains(of, v) {
			errs = append(errs, fmt.Errorf("%s %q is not one of %s", name, v, strings.Join(of[1:], ", ")))
		}
	}
	oneOf("format", o.Format, append([]string{"\x00"}, Formats...)...)
	oneOf("shape", o.Shape, "", "turns")
	oneOf("role", o.Role, "", "agent", "review")
	oneOf("layout", o.Layout, "", LayoutVerl, LayoutPrime)
	oneOf("logprobs", o.Logprobs, "", LogprobsRaw, LogprobsSampled)
	only(o.Pairs, "pairs", "openai")
	only(o.Shape != "", "a shape", "trl-sft")
	only(o.ToolsText, "tools as text", "trl-sft", "trl-dpo", "trl-kto", "trl-grpo")
	only(o.Role == "review" || o.Layout != "" || o.Logprobs != "" || o.Imitate || o.Parquet, "role, layout, logprobs, sft and parquet", "tokens")
	if o.Realign < 0 || !(o.Reward.Lambda >= 0) || !(o.Pair.Margin >= 0) || o.Pair.PerPrompt < 0 { // nor not a number
		errs = append(errs, errors.New("realign, lambda, margin and per-prompt cannot be negative"))
	}
	return errors.Join(append(errs, o.Splits.Validate())...)
}

// row is one record before it is written.
type row struct {
	run         *Trajectory
	first, last int64
	other       string // the run of the other side of a pair
	body        any
	extra       any // members of the format's own beside body, nil for none
	mark        mark
}

// exporter is the work of one export.
type exporter struct {
	o          Options
	advantages map[string]*float64 // by run
	seen       map[string]bool     // prompts, for formats with one row a prompt

	card *Card
}

func (x *exporter) lose(why string)      { x.card.Lost[why]++ }
func (x *exporter) stitched(n Stitching) { x.card.Stitching.add(n) }

func (s *Stitching) add(n Stitching) {
	s.Clean, s.Realign, s.Fork, s.Lost = s.Clean+n.Clean, s.Realign+n.Realign, s.Fork+n.Fork, s.Lost+n.Lost
}

// first reports whether a value was not seen before.
func (x *exporter) first(v any) bool {
	b, err := encode(v)
	if err != nil || x.seen[string(b)] {
		return false
	}
	x.seen[string(b)] = true
	return true
}

// rows makes the records of all runs that may be exported, in order.
func (x *exporter) rows(list []*Trajectory) ([]row, error) {
	if x.o.Format == "trl-dpo" || x.o.Pairs {
		return x.pairRows(list)
	}
	var out []row
	for _, t := range list {
		rows, err := x.of(t)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			rows[i].run = t
		}
		out = append(out, rows...)
	}
	return out, nil
}

func (x *exporter) of(t *Trajectory) ([]row, error) {
	if x.o.Format != "tokens" && x.o.Format != "atif" {
		switch {
		case t.Erased():
			x.lose("text of the conversation was erased")
			return nil, nil
		case t.path() == 0 && x.o.Format != "trl-grpo":
			x.lose("the agent said nothing")
			return nil, nil
		}
	}
	switch x.o.Format {
	case "openai":
		return x.openai(t)
	case "trl-sft":
		return x.sft(t)
	case "trl-kto":
		return x.kto(t)
	case "trl-grpo":
		return x.grpo(t)
	case "sharegpt":
		return x.sharegpt(t)
	case "tokens":
		if _, served := t.Model.Served(); served {
			x.lose("the model ran on a server, which gives no tokens")
			return nil, nil
		}
		if x.o.Role == "review" {
			return x.reviewRows(t)
		}
		return x.tokenRows(t)
	case "atif":
		doc, err := ToATIF(t, x.o.Reward)
		if errors.Is(err, errErased) {
			x.lose("the imported document was erased")
			return nil, nil
		}
		return []row{{first: 1, last: t.Last, body: doc}}, err
	}
	return nil, fmt.Errorf("internal error: no format %q", x.o.Format)
}

// pairMark is what a row of a pair also carries.
type pairMark struct {
	Source      string   `json:"x_source"`
	Margin      *float64 `json:"x_margin"`
	Chosen      int64    `json:"x_chosen"`
	Rejected    int64    `json:"x_rejected"`
	RejectedRun string   `json:"x_rejected_run"`
	AfterDenial bool     `json:"x_after_denial"`
}

func (x *exporter) pairRows(list []*Trajectory) ([]row, error) {
	var whole []*Trajectory
	for _, t := range list {
		if t.Erased() {
			x.lose("text of the conversation was erased")
			continue
		}
		whole = append(whole, t)
	}
	var out []row
	write, as := x.dpoPair, x.trl()
	if x.o.Pairs {
		write, as = x.openaiPair, x.openaiDialect()
	}
	for _, p := range pairs(whole, x.o.Pair, x.o.Reward, as) {
		body, err := write(p)
		if err != nil {
			return nil, err
		}
		x.card.PairSources[p.Source]++
		out = append(out, row{run: p.t, first: p.RejectedSeq, last: p.ChosenSeq, other: p.RejectedRun, body: body,
			extra: pairMark{p.Source, p.Margin, p.ChosenSeq, p.RejectedSeq, p.RejectedRun, p.AfterDenial}})
	}
	return out, nil
}

// line encodes a row as JSON, with its marks unless the set is to be bare.
func (x *exporter) line(r *row) ([]byte, error) {
	if x.o.Bare || x.o.Format == "atif" {
		return encode(r.body)
	}
	if r.extra == nil {
		return join(r.body, r.mark)
	}
	return join(r.body, r.extra, r.mark)
}

// setMark fills in what identifies a row.
func (x *exporter) setMark(r *row, rewards map[*Trajectory]*Reward) {
	if rewards[r.run] == nil {
		v := x.o.Reward.Score(r.run)
		rewards[r.run] = &v
	}
	r.mark = mark{rowID(x.o.Format, r.run.Run.ID, r.first, r.last, r.other), r.run.Run.ID, x.o.Splits.Of(r.run), rewards[r.run]}
}

// mayLeave says why a run is not exported, "" if it is.
func mayLeave(t *Trajectory) string {
	switch {
	case !t.Start.Train:
		return "the run was recorded with train false"
	case t.End == nil:
		return "the run did not end"
	case t.End.Status == agent.StatusStopped:
		return "the run was interrupted"
	}
	return ""
}
