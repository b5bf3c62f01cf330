package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// ErrUnreadable means that the model's answer is not what was asked for. It denies.
var ErrUnreadable = errors.New("answer of the review cannot be read")

// maxReason bounds a reason in bytes; the grammar allows 200 characters.
const maxReason = 1000

// output is the text of an answer. The raw text stands in where an engine parsed
// nothing out of it. An engine that could not hold the output to what was asked for gave no
// answer, whatever its text looks like.
func output(t agent.Turn) string {
	if t.Parse == agent.ParseFailed {
		return ""
	}
	if t.Answer != "" {
		return strings.TrimSpace(t.Answer)
	}
	return strings.TrimSpace(t.Text)
}

// parseVerdict reads {"reason": string, "label": one of the three}, and nothing else.
func parseVerdict(s string) (agent.Label, string, error) {
	m, err := members(s, "reason", "label")
	if err != nil {
		return agent.Unknown, "", err
	}
	var reason, word string
	if json.Unmarshal(m["reason"], &reason) != nil || json.Unmarshal(m["label"], &word) != nil || len(reason) > maxReason {
		return agent.Unknown, "", fmt.Errorf("%w: a member has the wrong form", ErrUnreadable)
	}
	l := agent.ParseLabel(word)
	if l == agent.Unknown {
		return agent.Unknown, "", fmt.Errorf("%w: no such label", ErrUnreadable)
	}
	return l, strings.Map(visible, reason), nil
}

// visible blanks what could act on a terminal: a reason may be shown to a person.
func visible(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
		return ' '
	}
	return r
}

// parsePlan reads {"tools": [names]} with every name on offer, and drops repetitions.
func parsePlan(s string, offered []string) ([]string, error) {
	m, err := members(s, "tools")
	if err != nil {
		return nil, err
	}
	var names []string
	if json.Unmarshal(m["tools"], &names) != nil || names == nil {
		return nil, fmt.Errorf("%w: tools is not a list of names", ErrUnreadable)
	}
	for _, n := range names {
		if !slices.Contains(offered, n) {
			return nil, fmt.Errorf("%w: a tool that is not on offer", ErrUnreadable)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// members reads one JSON object that has exactly the given members, each once.
func members(s string, names ...string) (map[string]json.RawMessage, error) {
	if err := (agent.ToolCall{Args: s}).CheckArgs(); err != nil {
		return nil, fmt.Errorf("%w: not one plain JSON object", ErrUnreadable)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return nil, fmt.Errorf("%w: not one plain JSON object", ErrUnreadable)
	}
	for _, n := range names {
		if v, ok := m[n]; !ok || string(v) == "null" {
			return nil, fmt.Errorf("%w: %s is missing", ErrUnreadable, n)
		}
	}
	if len(m) != len(names) {
		return nil, fmt.Errorf("%w: more than was asked for", ErrUnreadable)
	}
	return m, nil
}

// parseProbs takes over the probabilities of the three labels. An engine that reads
// none gives an empty slice; anything that is not a distribution is an error.
func parseProbs(p []float64) (agent.LabelProbs, error) {
	if len(p) == 0 {
		return agent.LabelProbs{}, nil
	}
	sum := 0.0
	for _, x := range p {
		if !(x >= 0 && x <= 1) { // NaN too
			return agent.LabelProbs{}, fmt.Errorf("%w: not a probability", ErrUnreadable)
		}
		sum += x
	}
	if len(p) != len(agent.Labels) || math.Abs(sum-1) > 0.01 {
		return agent.LabelProbs{}, fmt.Errorf("%w: not a distribution over the labels", ErrUnreadable)
	}
	return agent.LabelProbs(p), nil
}
