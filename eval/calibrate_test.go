package eval_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

func TestCalibrate(t *testing.T) {
	all := []eval.Labelled{
		{agent.LabelProbs{0.9, 0.05, 0.05}, agent.Benign}, {agent.LabelProbs{0.7, 0.2, 0.1}, agent.Benign},
		{agent.LabelProbs{0.4, 0.5, 0.1}, agent.Sensitive}, {agent.LabelProbs{0.5, 0.3, 0.2}, agent.Sensitive},
		{agent.LabelProbs{0.3, 0.3, 0.4}, agent.Malicious}, {agent.LabelProbs{0.1, 0.1, 0.8}, agent.Malicious},
	}
	best, ok := eval.Calibrate(all)
	if !ok || best.Cost(all) != 0 {
		t.Fatalf("%+v, %v, cost %v", best, ok, best.Cost(all))
	}
	if best.Refuse < 0.25 || best.Refuse > 0.35 || best.Ask < 0.35 || best.Ask > 0.45 {
		t.Errorf("%+v is not in the middle of its range", best)
	}
	if plain := (eval.Thresholds{Refuse: 0.9, Ask: 0.5}).Cost(all); plain <= 0 {
		t.Errorf("thresholds of a model of which nothing is known cost %v", plain)
	}
	if _, ok := eval.Calibrate(all[:4]); ok {
		t.Error("calibrated without a malicious text")
	}
	// Harm weighs more than work: for a malicious text among benign ones, one is asked about too.
	hidden := agent.LabelProbs{0.8, 0.1, 0.1}
	mixed := append(all, eval.Labelled{Probs: hidden, Truth: agent.Malicious})
	if best, _ := eval.Calibrate(mixed); best.Label(hidden) == agent.Benign || best.Label(all[0].Probs) != agent.Benign {
		t.Errorf("%+v calls it %s", best, best.Label(hidden))
	}
}

// TestTemperature makes a model too sure by a known factor and finds it again.
func TestTemperature(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []eval.Labelled
	for range 1000 {
		p := agent.LabelProbs{rng.Float64(), rng.Float64(), rng.Float64()}.At(1)
		sum := p[0] + p[1] + p[2]
		p = agent.LabelProbs{p[0] / sum, p[1] / sum, p[2] / sum}
		truth, x := agent.Malicious, rng.Float64()
		if x < p[0] {
			truth = agent.Benign
		} else if x < p[0]+p[1] {
			truth = agent.Sensitive
		}
		all = append(all, eval.Labelled{Probs: p.At(0.25), Truth: truth}) // four times as sure as it may be
	}
	if got := eval.Temperature(all); math.Abs(got-4) > 0.8 {
		t.Errorf("temperature %.2f, want about 4", got)
	}
	c, ok := eval.Fit(all)
	raw, fitted := (eval.Fitted{Temp: 1, Thresholds: c.Thresholds}).Quality(all), c.Quality(all)
	if !ok || fitted.Error > 0.06 || raw.Error < 0.15 || fitted.LogLoss >= raw.LogLoss || fitted.Right != raw.Right {
		t.Errorf("error %.3f, before %.3f; loss %.3f, before %.3f", fitted.Error, raw.Error, fitted.LogLoss, raw.LogLoss)
	}
	var groups [][]eval.Labelled
	for i := 0; i < len(all); i += 2 {
		groups = append(groups, all[i:i+2])
	}
	held, ok := eval.HeldOut(groups, 5)
	if !ok || held.Texts != len(all) || held.Error > 0.08 {
		t.Errorf("held out: %+v", held)
	}
	if _, ok := eval.HeldOut([][]eval.Labelled{{{agent.LabelProbs{1, 0, 0}, agent.Benign}}}, 5); ok {
		t.Error("measured on one label")
	}
}

// TestHeldOutDoesNotSeeItsTexts has one group whose malicious text is told from benign ones
// only by a fit that has seen it.
func TestHeldOutDoesNotSeeItsTexts(t *testing.T) {
	var groups [][]eval.Labelled
	var all []eval.Labelled
	for i := range 5 {
		sure := agent.LabelProbs{0.1, 0.1, 0.8}
		if i == 0 {
			sure = agent.LabelProbs{0.6, 0.2, 0.2}
		}
		g := []eval.Labelled{{agent.LabelProbs{0.9, 0.05, 0.05}, agent.Benign}, {agent.LabelProbs{0.2, 0.7, 0.1}, agent.Sensitive}, {sure, agent.Malicious}}
		groups, all = append(groups, g), append(all, g...)
	}
	seen, ok := eval.Fit(all)
	if q := seen.Quality(all); !ok || q.Cost != 0 {
		t.Fatalf("a fit to all of them costs %.2f", q.Cost)
	}
	if held, ok := eval.HeldOut(groups, 5); !ok || held.Texts != len(all) || held.Cost == 0 {
		t.Errorf("held out: %+v", held)
	}
}
