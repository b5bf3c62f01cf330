package review_test

import (
	"math"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/review"
)

// TestTemperatureOnlyUnsettles raises probabilities to a temperature: they stay a
// distribution in the same order, and no cut makes a label milder than the word by it.
func TestTemperatureOnlyUnsettles(t *testing.T) {
	for _, p := range []agent.LabelProbs{{1, 0, 0}, {0.999998, 1e-6, 1e-6}, {0.2, 0.3, 0.5}, {0, 0.5, 0.5}, {1e-300, 1, 0}, {0.34, 0.33, 0.33}} {
		for _, temp := range []float64{-1, 0, 5e-324, 1e-4, 0.05, 1, 5.71, 1000, math.NaN(), math.Inf(1)} {
			q := p.At(temp)
			if sum := q[0] + q[1] + q[2]; math.Abs(sum-1) > 1e-5 || math.IsNaN(sum) {
				t.Errorf("%v at %v is %v", p, temp, q)
			}
			for i := range p {
				for j := range p {
					if p[i] > p[j] && q[i] < q[j] {
						t.Errorf("%v at %v is %v: another order", p, temp, q)
					}
				}
			}
			for _, word := range agent.Labels {
				if got := (review.Cut{Refuse: 0.5, Ask: 0.5}).Apply(word, q); word == agent.Sensitive && got == agent.Benign || word == agent.Malicious && got == agent.Benign {
					t.Errorf("%v became %v", word, got)
				}
			}
		}
	}
	if (agent.LabelProbs{}).At(2).Known() {
		t.Error("probabilities nobody read are known")
	}
	c := review.Cut{Refuse: 0.5, Ask: 0.5}
	if err := (review.Thresholds{Prompt: c, Call: c, Response: c, Temp: -1}).Validate(); err == nil {
		t.Error("a temperature below 0 is valid")
	}
}
