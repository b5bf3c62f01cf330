package dataset

import (
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// The kinds of log-probability: at temperature 1 over the whole vocabulary, or under the
// distribution that was sampled from.
const (
	LogprobsRaw     = "raw"
	LogprobsSampled = "sampled"
)

type verlMetrics struct {
	Generate float64 `json:"generate_sequences" parquet:"generate_sequences"` // seconds
	Tools    float64 `json:"tool_calls" parquet:"tool_calls"`
	Score    float64 `json:"compute_score" parquet:"compute_score"`
}

type verlInfo struct {
	Task   string `json:"task" parquet:"task"`
	Group  string `json:"group" parquet:"group"`
	Sample int64  `json:"sample" parquet:"sample"`
	Status string `json:"status" parquet:"status"`
}

// VerlRow is a token row in the layout of verl. The three response arrays have one
// length; where the mask is 0 the log-probability is 0.
type VerlRow struct {
	Prompt   []int32     `json:"prompt_ids"`
	Response []int32     `json:"response_ids"`
	Mask     []int32     `json:"response_mask"`
	Logprobs []float32   `json:"response_logprobs"`
	Score    *float32    `json:"reward_score"`
	Turns    int32       `json:"num_turns"` // of the model, in this row
	Metrics  verlMetrics `json:"metrics"`
	Extra    struct{}    `json:"extra_fields"`
	UID      string      `json:"uid"` // the group, or the run where there is none
	Source   string      `json:"data_source"`
	Info     verlInfo    `json:"extra_info"`
}

// PrimeRow is a token row in the layout of prime-rl: all arrays have one length.
type PrimeRow struct {
	IDs        []int32   `json:"token_ids"`
	Mask       []bool    `json:"mask"`
	Logprobs   []float32 `json:"logprobs"`
	Temps      []float32 `json:"temperatures"`
	Env        string    `json:"env_name"`
	Advantages []float32 `json:"advantages"` // null where the run has none
}

// rowExtra is what token rows carry beside their layout.
type rowExtra struct {
	Row       int       `json:"x_row"`
	Rows      int       `json:"x_rows"`
	Kind      string    `json:"x_logprobs"`
	Other     []float32 `json:"x_other_logprobs"` // of the other kind
	Advantage *float64  `json:"x_advantage"`
	GGUF      string    `json:"x_gguf"` // SHA-256 of the model file, which holds tokenizer and template
}

// errMixed means that the run was not drawn from the plain distribution, so that the
// kind of log-probability has to be named.
var errMixed = errors.New("raw and sampled log-probabilities differ; say --logprobs raw or sampled")

// tokenRows writes the token rows of a run.
func (x *exporter) tokenRows(t *Trajectory) ([]row, error) {
	if t.hidden() {
		x.lose("a pattern of the redaction was found in the text of its tokens")
		return nil, nil
	}
	rows, n, err := stitch(t, stitchOptions{x.o.Realign, x.o.Imitate})
	if err != nil {
		x.lose("tokens were erased")
		return nil, nil
	}
	x.stitched(n)
	if len(rows) == 0 {
		x.lose("no token was generated")
		return nil, nil
	}
	kind := x.o.Logprobs
	if kind == "" {
		if differ(rows) && !x.o.Imitate {
			return nil, fmt.Errorf("export run %s: %w", t.Run.ID, errMixed)
		}
		kind = LogprobsRaw
	}
	r := x.o.Reward.Score(t)
	adv := x.advantages[t.Run.ID]
	out := make([]row, 0, len(rows))
	for i, s := range rows {
		lp, other := s.Raw, s.Sampled
		if kind == LogprobsSampled {
			lp, other = s.Sampled, s.Raw
		}
		e := rowExtra{i, len(rows), kind, other, adv, t.Model.GGUF}
		var body any = verl(t, s, lp, r)
		if x.o.Layout == LayoutPrime {
			p := prime(s, lp, adv)
			e.Other = append(make([]float32, len(s.Prompt)), other...)
			body = p
		}
		out = append(out, row{first: s.Gens[0].Seq, last: s.stop, body: body, extra: e})
	}
	return out, nil
}

// differ reports whether a token that trains was drawn from another distribution than
// the plain one. Greedy choices have no distribution: their sampled value is 0.
func differ(rows []Stitched) bool {
	for _, s := range rows {
		for i, m := range s.Mask {
			if d := s.Raw[i] - s.Sampled[i]; m && (d > 1e-3 || d < -1e-3) {
				return true
			}
		}
	}
	return false
}

func verl(t *Trajectory, s Stitched, lp []float32, r Reward) VerlRow {
	v := VerlRow{Prompt: s.Prompt, Response: s.IDs, Logprobs: lp, Turns: int32(len(s.Gens)), UID: t.Run.Group, Source: "holdfast",
		Info: verlInfo{t.Run.Task, t.Run.Group, t.Run.Sample, string(t.Status())}}
	if v.UID == "" {
		v.UID = t.Run.ID
	}
	if r.Total != nil {
		f := float32(*r.Total)
		v.Score = &f
	}
	v.Mask = make([]int32, len(s.Mask))
	in := map[*Gen]bool{}
	for _, g := range s.Gens {
		in[g] = true
		v.Metrics.Generate += float64(g.PrefillUS+g.GenUS) / 1e6
	}
	for i, m := range s.Mask {
		if m {
			v.Mask[i] = 1
		}
	}
	for _, step := range t.Steps {
		for _, c := range step.Calls {
			if in[step.Gen] && c.End != nil {
				v.Metrics.Tools += float64(c.End.US) / 1e6
			}
		}
	}
	return v
}

func prime(s Stitched, lp []float32, advantage *float64) PrimeRow {
	n := len(s.Prompt)
	p := PrimeRow{Env: "holdfast", IDs: append(append([]int32{}, s.Prompt...), s.IDs...),
		Mask: append(make([]bool, n), s.Mask...), Logprobs: append(make([]float32, n), lp...)}
	for range n {
		p.Temps = append(p.Temps, 1)
	}
	p.Temps = append(p.Temps, s.Temps...)
	if advantage != nil {
		p.Advantages = make([]float32, len(p.IDs))
		for i, m := range p.Mask {
			if m {
				p.Advantages[i] = float32(*advantage)
			}
		}
	}
	return p
}

// reviewRows writes one row for each generation of the judge: label, plan and review.
func (x *exporter) reviewRows(t *Trajectory) ([]row, error) {
	var out []row
	r := x.o.Reward.Score(t)
	for _, g := range t.Gens {
		if g.Purpose == agent.PurposeAgent || len(g.IDs) == 0 || g.Finish == agent.FinishAbort || g.Erased || g.Hidden {
			continue
		}
		s := Stitched{Prompt: g.Prompt}
		s.output(g, x.o.Imitate, true)
		s.stop = g.EndSeq
		kind, lp, other := LogprobsRaw, s.Raw, s.Sampled
		if x.o.Logprobs == LogprobsSampled {
			kind, lp, other = LogprobsSampled, s.Sampled, s.Raw
		}
		v := verl(t, s, lp, r)
		v.Source = "holdfast/" + string(g.Purpose)
		var body any = v
		if x.o.Layout == LayoutPrime {
			body = prime(s, lp, x.advantages[t.Run.ID])
			other = append(make([]float32, len(s.Prompt)), other...)
		}
		out = append(out, row{first: g.Seq, last: g.EndSeq, body: body, extra: rowExtra{0, 1, kind, other, x.advantages[t.Run.ID], t.Model.GGUF}})
	}
	return out, nil
}
