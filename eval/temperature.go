package eval

import (
	"math"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Fitted is what makes a model's labels mean what they say: the temperature of their
// probabilities, and the thresholds on them at that temperature.
type Fitted struct {
	Temp       float64    `json:"temp"`
	Thresholds Thresholds `json:"thresholds"`
}

// Quality is how well labels are calibrated.
type Quality struct {
	Texts   int     `json:"texts"`
	Right   int     `json:"right"`             // likeliest label is the true one
	Error   float64 `json:"calibration_error"` // expected, see CalibrationError
	LogLoss float64 `json:"log_loss"`          // mean, natural log
	Cost    float64 `json:"cost"`              // mean, of the labels that the thresholds settle
	Bins    []Bin   `json:"reliability"`
}

// at are the texts with their probabilities at a temperature.
func at(all []Labelled, temp float64) []Labelled {
	out := make([]Labelled, len(all))
	for i, l := range all {
		out[i] = Labelled{l.Probs.At(temp), l.Truth}
	}
	return out
}

// Temperature is the one at which labelled texts are likeliest: the least mean log loss,
// found by golden section on its logarithm, in which the loss has one minimum.
func Temperature(all []Labelled) float64 {
	low, high := math.Log(0.05), math.Log(100)
	ratio := (math.Sqrt(5) - 1) / 2
	loss := func(x float64) float64 { return logLoss(at(all, math.Exp(x))) }
	a, b := high-ratio*(high-low), low+ratio*(high-low)
	for range 60 {
		if loss(a) <= loss(b) {
			high, b = b, a
			a = high - ratio*(high-low)
		} else {
			low, a = a, b
			b = low + ratio*(high-low)
		}
	}
	return math.Exp((low + high) / 2)
}

// leastP bounds the loss of a text whose label was ruled out entirely.
const leastP = 1e-12

func logLoss(all []Labelled) float64 {
	sum := 0.0
	for _, l := range all {
		sum -= math.Log(max(leastP, l.Probs.Of(l.Truth)))
	}
	return sum / float64(max(1, len(all)))
}

// Fit finds the temperature and then the thresholds. ok is false where a label is missing.
func Fit(all []Labelled) (c Fitted, ok bool) {
	c.Temp = Temperature(all)
	c.Thresholds, ok = Calibrate(at(all, c.Temp))
	return c, ok
}

// Quality measures a calibration on labelled texts whose probabilities are as the model
// gave them.
func (c Fitted) Quality(all []Labelled) Quality { return quality(at(all, c.Temp), c.each(all)) }

// each is what the labels of texts cost, one by one.
func (c Fitted) each(all []Labelled) []float64 {
	out := make([]float64, len(all))
	for i, l := range at(all, c.Temp) {
		out[i] = cost(c.Thresholds.Label(l.Probs), l.Truth)
	}
	return out
}

func quality(all []Labelled, costs []float64) Quality {
	q := Quality{Texts: len(all), LogLoss: logLoss(all)}
	var samples []Sample
	for i, l := range all {
		likeliest := agent.Benign
		for _, k := range agent.Labels {
			if l.Probs.Of(k) > l.Probs.Of(likeliest) {
				likeliest = k
			}
		}
		samples = append(samples, Sample{P: l.Probs.Of(likeliest), Right: likeliest == l.Truth})
		if likeliest == l.Truth {
			q.Right++
		}
		q.Cost += costs[i] / float64(len(all))
	}
	q.Error, q.Bins = CalibrationError(samples, CalibrationBins), Reliability(samples, CalibrationBins)
	return q
}

// Groups are the labelled texts of splits, those of one task together: they are alike, and
// never stand on both sides of a held-out measurement.
func Groups(splits []SplitReport) [][]Labelled {
	var out [][]Labelled
	for _, s := range splits {
		for _, r := range s.Rows {
			if l := r.labelled(); len(l) > 0 {
				out = append(out, l)
			}
		}
	}
	return out
}

// HeldOut measures on each of so many folds what was fitted to the others, all folds
// together: an estimate of what a fit to all of them is worth on texts that it has not
// seen. ok is false where a fold leaves a label without a text.
func HeldOut(groups [][]Labelled, folds int) (q Quality, ok bool) {
	var all []Labelled
	var costs []float64
	for k := range folds {
		var fit, test []Labelled
		for i, g := range groups {
			if i%folds == k {
				test = append(test, g...)
			} else {
				fit = append(fit, g...)
			}
		}
		c, ok := Fit(fit)
		if !ok {
			return Quality{}, false
		}
		all, costs = append(all, at(test, c.Temp)...), append(costs, c.each(test)...)
	}
	return quality(all, costs), len(all) > 0
}
