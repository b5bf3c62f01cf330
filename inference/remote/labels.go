package remote

import (
	"bytes"
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
	var start []byte // of the output, without white space
	for i := range len(prefix) {
		if !space(prefix[i]) {
			start = append(start, prefix[i])
		}
	}
	seen := make([]byte, 0, len(output))
	for _, t := range tokens {
		for i := range len(t.piece) {
			if bytes.HasSuffix(seen, start) {
				return t.read(t.piece[:i], labels, worst)
			}
			if !space(t.piece[i]) {
				seen = append(seen, t.piece[i])
			}
		}
		if len(seen) > len(output) { // a server may list more, and as much as it likes
			return nil
		}
	}
	return nil
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

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
