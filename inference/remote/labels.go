package remote

import (
	"math"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// scored is an output token with what else might have stood in its place, as a server
// lists it: at most twenty, natural-log probabilities.
type scored struct {
	piece string
	top   []scoredAlt
}

type scoredAlt struct {
	piece string
	log   float64
}

// labelProbs reads the probability of each label where the output first contains prefix,
// white space aside. What the server does not list there counts as malicious. It returns
// nil, not read, unless the tokens spell out the output and their numbers are those of a
// distribution.
func labelProbs(tokens []scored, output, prefix string, labels []string) []float64 {
	var all strings.Builder
	for _, t := range tokens {
		all.WriteString(t.piece)
	}
	worst := slices.Index(labels, agent.Malicious.String())
	if len(tokens) == 0 || prefix == "" || worst < 0 || !strings.HasPrefix(strings.TrimSpace(all.String()), strings.TrimSpace(output)) {
		return nil
	}
	prefix = squeeze(prefix)
	seen := ""
	for _, t := range tokens {
		for i := range len(t.piece) {
			if strings.HasSuffix(seen, prefix) {
				return t.read(t.piece[:i], labels, worst)
			}
			seen += squeeze(t.piece[i : i+1])
		}
	}
	return nil
}

// squeeze drops white space.
func squeeze(s string) string {
	return strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(s)
}

// read sums, for each label, the probability of every listed token that continues lead
// with a beginning of the label or with the whole label and more.
func (t scored) read(lead string, labels []string, worst int) []float64 {
	mass, listed := make([]float64, len(labels)), 0.0
	for _, a := range t.top {
		if !(a.log <= 1e-3) { // NaN too
			return nil
		}
		p := math.Exp(a.log)
		listed += p
		rest, ok := strings.CutPrefix(a.piece, lead)
		if !ok || rest == "" {
			continue
		}
		for k, label := range labels {
			if strings.HasPrefix(label, rest) || strings.HasPrefix(rest, label) {
				mass[k] += p
			}
		}
	}
	if len(t.top) == 0 || listed > 1.01 {
		return nil
	}
	mass[worst] += max(0, 1-listed)
	total := 0.0
	for _, m := range mass {
		total += m
	}
	for k := range mass {
		if total > 0 {
			mass[k] /= total
		} else {
			mass[k] = 1 / float64(len(mass))
		}
	}
	return mass
}
