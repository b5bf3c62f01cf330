package inference

import (
	"context"
	"strings"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// evaluate brings the sequence's pending tokens into the KV cache and returns the logits after the last. On an error the
// sequence is cut back to what is surely in the cache.
func (s *Session) evaluate(ctx context.Context, q *sequence) ([]float32, error) {
	size := s.x.BatchSize()
	batch := make([]llama.Input, 0, min(size, len(q.ids)-q.done))
	for q.done < len(q.ids) {
		n := min(size, len(q.ids)-q.done)
		batch = batch[:0]
		for i := q.done; i < q.done+n; i++ {
			batch = append(batch, llama.Input{Token: q.ids[i], Pos: int32(i), Seq: q.id, Logits: i == len(q.ids)-1})
		}
		if err := s.x.Decode(ctx, batch); err != nil {
			keep := q.done
			q.done += n // the batch may be there in part
			q.truncate(s.x, keep)
			return nil, err
		}
		q.done += n
	}
	return s.x.Logits(-1)
}

// sample generates until the turn ends.
func (g *generation) sample(ctx context.Context, logits []float32) error {
	e := g.s.e
	c, err := e.newConstraint(g.r, g.p.ChatParams)
	if err != nil {
		return err
	}
	defer c.close()
	draw := newSampler(e.opt.Sampling, g.r.Temp, g.r.Seed, e.words.banned)
	labels := newLabelReader(e.words, g.r.LabelPrefix, g.r.Labels)
	start := len(g.seq.ids)
	var text strings.Builder
	for {
		ended, err := g.step(c, draw, labels, logits, &text)
		if err == nil && !ended {
			logits, err = g.s.evaluate(ctx, g.seq)
		}
		switch {
		case err != nil: // what there is so far is no turn
			g.turn.Text, g.turn.Tokens.Finish = text.String(), agent.FinishAbort
			return err
		case ended:
			g.finish(start, text.String(), labels)
			return nil
		}
	}
}

// step samples one token, records it and reports whether the turn ended with it.
func (g *generation) step(c *constraint, draw *sampler, labels *labelReader, logits []float32, text *strings.Builder) (bool, error) {
	w, t := g.s.e.words, &g.turn.Tokens
	pick, err := draw.sample(logits, c.current())
	if err != nil {
		return false, err
	}
	forced, err := c.forcedToken(pick.id)
	if err != nil {
		return false, err
	}
	labels.observe(pick.id, logits, pick.logSum)
	t.Output = append(t.Output, pick.id)
	t.Raw = append(t.Raw, pick.raw)
	t.Sampled = append(t.Sampled, pick.sampled)
	t.Forced = append(t.Forced, forced)
	g.seq.ids = append(g.seq.ids, pick.id)
	if w.ends[pick.id] {
		t.Finish = agent.FinishEOS
		return true, nil
	}
	text.WriteString(w.pieces[pick.id])
	if err := c.accept(pick.id); err != nil {
		return false, err
	}
	if g.stopped(text.String()) {
		t.Finish = agent.FinishStop
		return true, nil
	}
	if len(t.Output) >= g.limit {
		t.Finish = agent.FinishLength
		return true, nil
	}
	return false, nil
}

// stopped reports whether the output ends with a text at which the template's models stop.
func (g *generation) stopped(text string) bool {
	for _, stop := range g.p.Stops {
		if stop != "" && strings.HasSuffix(text, stop) {
			return true
		}
	}
	return false
}

// finish parses the turn and remembers it as generated.
func (g *generation) finish(start int, text string, labels *labelReader) {
	if g.turn.Tokens.Finish == agent.FinishStop {
		for _, stop := range g.p.Stops {
			if stop != "" {
				text = strings.TrimSuffix(text, stop)
			}
		}
	}
	g.turn.Text = text
	if labels != nil {
		g.turn.Probs = labels.probs
	}
	g.s.e.parse(&g.turn, g.r, g.p.ChatParams)
	to := len(g.seq.ids)
	if g.turn.Tokens.Finish == agent.FinishEOS {
		to--
	}
	g.seq.runs = append(g.seq.runs, run{from: start, to: to, turn: keyOf(g.turn.Thought, g.turn.Answer, g.turn.Calls), raw: text})
}
