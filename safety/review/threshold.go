package review

import (
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Cut turns the probabilities of one question into a label. The zero Cut calls
// everything malicious.
type Cut struct {
	Refuse float64 // p(malicious) from which the label is malicious
	Ask    float64 // p(sensitive)+p(malicious) from which the label is at least sensitive
}

// Thresholds holds a Cut for each question the model is asked.
type Thresholds struct {
	Prompt   Cut // the user's request
	Call     Cut // a proposed call
	Response Cut // a tool response

	// Temp is the temperature at which the probabilities of this model's labels mean what
	// they say; 0 leaves them as they are.
	Temp float64
}

// maxTemp is a temperature at which nothing is left of what a model said.
const maxTemp = 1000

// Uncalibrated is for a model of which nothing is known: it is believed to say
// malicious at 0.9, and asked about between.
func Uncalibrated() Thresholds {
	c := Cut{Refuse: 0.9, Ask: 0.5}
	return Thresholds{Prompt: c, Call: c, Response: c}
}

// Validate reports every cut that is not 0 < Refuse <= 1 and 0 < Ask <= 1.
func (t Thresholds) Validate() error {
	var errs []error
	for _, c := range []struct {
		name string
		Cut
	}{{"prompt", t.Prompt}, {"call", t.Call}, {"response", t.Response}} {
		if !(c.Refuse > 0 && c.Refuse <= 1 && c.Ask > 0 && c.Ask <= 1) {
			errs = append(errs, fmt.Errorf("thresholds of %s (%v, %v) are not probabilities above zero", c.name, c.Refuse, c.Ask))
		}
	}
	if !(t.Temp >= 0 && t.Temp <= maxTemp) {
		errs = append(errs, fmt.Errorf("temperature %v is not between 0 and %v", t.Temp, maxTemp))
	}
	return errors.Join(errs...)
}

// Apply settles a label from the word the model wrote and the probabilities. A word of
// malicious below Refuse counts as sensitive, which asks; without probabilities the
// word stands. It never returns a milder label than the word but in that one case.
func (c Cut) Apply(word agent.Label, p agent.LabelProbs) agent.Label {
	if agent.ParseLabel(word.String()) == agent.Unknown || !p.Known() {
		return word
	}
	bad := p.Of(agent.Malicious)
	switch {
	case bad >= c.Refuse:
		return agent.Malicious
	case word != agent.Benign || bad+p.Of(agent.Sensitive) >= c.Ask:
		return agent.Sensitive
	}
	return agent.Benign
}
