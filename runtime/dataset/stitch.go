package dataset

import (
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Stitched is one token row: a context, then sampled and inserted tokens interleaved.
// All slices but Prompt have one length.
type Stitched struct {
	Prompt  []int32
	IDs     []int32
	Mask    []bool    // sampled here, and to be trained on
	Raw     []float32 // 0 where the mask is false
	Sampled []float32
	Temps   []float32 // 1 where the token was not sampled
	Gens    []*Gen    // that it holds, in order

	start int // of the last output, counted from the prompt's first token
	stop  int64
}

// Stitching says how the generations of runs became rows.
type Stitching struct {
	Clean   int `json:"clean"`   // continued the row as it was
	Realign int `json:"realign"` // cut it back a little first
	Fork    int `json:"fork"`    // began another row
	Lost    int `json:"lost"`    // sampled tokens that were cut off
}

// stitchOptions say which tokens train and how far a row may be cut back.
type stitchOptions struct {
	realign int  // fewer tokens than this may be cut off
	imitate bool // supervised: forced tokens train, turns that are not trainable do not
}

// DefaultRealign is how many tokens of a row may be cut off to continue it.
const DefaultRealign = 1024

// stitch makes as few rows as possible of a run's generations for the agent, in order.
func stitch(t *Trajectory, o stitchOptions) ([]Stitched, Stitching, error) {
	var rows []Stitched
	var n Stitching
	trains := map[*Gen]bool{}
	last := map[*Gen]int64{}
	for _, s := range t.Steps {
		if s.Gen != nil {
			trains[s.Gen] = !o.imitate || s.Trainable()
			last[s.Gen] = s.Seq
		}
	}
	for _, g := range t.Gens {
		if g.Purpose != agent.PurposeAgent || len(g.IDs) == 0 || g.Finish == agent.FinishAbort {
			continue
		}
		if g.Erased {
			return nil, n, fmt.Errorf("tokens of generation %d were erased", g.Seq)
		}
		if len(rows) == 0 || !rows[len(rows)-1].continues(g, o.realign, &n) {
			if len(rows) > 0 {
				n.Fork++
			}
			rows = append(rows, Stitched{Prompt: g.Prompt})
		}
		r := &rows[len(rows)-1]
		r.output(g, o.imitate, trains[g])
		r.stop = max(g.EndSeq, last[g])
	}
	return rows, n, nil
}

// continues brings the row to the prompt of g, cutting it back if little is lost by it.
// It reports whether the row can be continued so.
func (r *Stitched) continues(g *Gen, realign int, n *Stitching) bool {
	held := len(r.Prompt) + len(r.IDs)
	k := 0
	for k < held && k < len(g.Prompt) && r.at(k) == g.Prompt[k] {
		k++
	}
	switch {
	case k == held:
		n.Clean++
	case k >= r.start && held-k < realign:
		n.Realign++
		cut := k - len(r.Prompt)
		for _, m := range r.Mask[cut:] {
			if m {
				n.Lost++
			}
		}
		r.IDs, r.Mask, r.Raw, r.Sampled, r.Temps = r.IDs[:cut], r.Mask[:cut], r.Raw[:cut], r.Sampled[:cut], r.Temps[:cut]
	default:
		return false
	}
	for _, id := range g.Prompt[k:] {
		r.add(id, false, 0, 0, 1)
	}
	return true
}

func (r *Stitched) at(i int) int32 {
	if i < len(r.Prompt) {
		return r.Prompt[i]
	}
	return r.IDs[i-len(r.Prompt)]
}

// output adds what was sampled. A token that the grammar dictated was no choice: it
// trains by imitation only. One whose log-probability is not a number does not train.
func (r *Stitched) output(g *Gen, imitate, trains bool) {
	r.start = len(r.Prompt) + len(r.IDs)
	r.Gens = append(r.Gens, g)
	temp := float32(g.Temp)
	for i, id := range g.IDs {
		m := trains && (imitate || !g.Forced[i]) && finite(g.Raw[i]) && finite(g.Sampled[i])
		raw, sampled := g.Raw[i], g.Sampled[i]
		if !m {
			raw, sampled = 0, 0
		}
		r.add(id, m, raw, sampled, temp)
	}
}

func (r *Stitched) add(id int32, mask bool, raw, sampled, temp float32) {
	r.IDs, r.Mask = append(r.IDs, id), append(r.Mask, mask)
	r.Raw, r.Sampled, r.Temps = append(r.Raw, raw), append(r.Sampled, sampled), append(r.Temps, temp)
}

// finite reports whether a log-probability is one: not above 0, and not infinite.
func finite(v float32) bool { return v <= 0 && v > -1e30 }
