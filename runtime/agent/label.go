package agent

import (
	"fmt"
	"math"
)

// Label is the taxonomy of arXiv 2507.08270, the same for user prompts and for
// tool responses. The zero value is unknown and is treated as the worst.
type Label uint8

// The labels.
const (
	Unknown Label = iota
	Benign
	Sensitive
	Malicious
)

// Labels lists the three labels a judge may give, in the order used for
// probabilities.
var Labels = [3]Label{Benign, Sensitive, Malicious}

// String returns the label's word.
func (l Label) String() string {
	switch l {
	case Benign:
		return "benign"
	case Sensitive:
		return "sensitive"
	case Malicious:
		return "malicious"
	}
	return "unknown"
}

// ParseLabel returns the label with the given word, Unknown for any other text.
func ParseLabel(s string) Label {
	for _, l := range Labels {
		if s == l.String() {
			return l
		}
	}
	return Unknown
}

// MarshalText implements encoding.TextMarshaler.
func (l Label) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unknown words become Unknown.
func (l *Label) UnmarshalText(b []byte) error { *l = ParseLabel(string(b)); return nil }

// LabelProbs holds the probability of each label in the order of Labels,
// renormalised over the three. The zero value means no probabilities were read.
type LabelProbs [3]float64

// Of returns the probability of l, 0 for Unknown.
func (p LabelProbs) Of(l Label) float64 {
	for i, k := range Labels {
		if k == l {
			return p[i]
		}
	}
	return 0
}

// At returns the probabilities at another temperature: each to the power of 1/temp,
// renormalised (Guo et al. 2017). A temperature above 1 makes them less sure; the order of
// the labels stays. Below or at 0, at 1, and where none were read, they stay as they are.
func (p LabelProbs) At(temp float64) LabelProbs {
	if !p.Known() || temp == 1 || !(temp > 0) {
		return p
	}
	sum, most := 0.0, max(p[0], p[1], p[2])
	for i, x := range p {
		p[i] = math.Pow(x/most, 1/temp) // over the largest, so that not all of them vanish
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// Known reports whether probabilities were read.
func (p LabelProbs) Known() bool { return p != LabelProbs{} }

// Channel says where a labelled text came from.
type Channel uint8

// The channels.
const (
	UserPrompt Channel = iota + 1
	ToolResponse
)

// String returns the channel's name in the ledger.
func (c Channel) String() string {
	switch c {
	case UserPrompt:
		return "user_prompt"
	case ToolResponse:
		return "tool_response"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (c Channel) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Channel) UnmarshalText(b []byte) error {
	for _, k := range []Channel{UserPrompt, ToolResponse} {
		if k.String() == string(b) {
			*c = k
			return nil
		}
	}
	return fmt.Errorf("unknown channel %q", b)
}

// Taint is the state of a context with respect to untrusted text. The zero value
// is the worst.
type Taint uint8

// The taints, worst first.
const (
	TaintMalicious Taint = iota // text labelled malicious is in the context: no loop of ours lets it in
	TaintUntrusted              // some tool response was read
	TaintClean                  // only the operator and the user have spoken
)

// String returns the taint's name in the ledger.
func (t Taint) String() string {
	switch t {
	case TaintClean:
		return "clean"
	case TaintUntrusted:
		return "untrusted"
	}
	return "malicious"
}

// MarshalText implements encoding.TextMarshaler.
func (t Taint) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unknown words become the worst taint.
func (t *Taint) UnmarshalText(b []byte) error {
	switch string(b) {
	case "clean":
		*t = TaintClean
	case "untrusted":
		*t = TaintUntrusted
	default:
		*t = TaintMalicious
	}
	return nil
}

// Worse returns the worse of two taints.
func (t Taint) Worse(u Taint) Taint { return min(t, u) }
