package safety

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/shell"
)

// Basis is what a verdict on a call was decided on, as the ledger keeps it. With the
// call, its sinks and the rules in force it is all that the decision depends on.
type Basis struct {
	Input   Input        `json:"input"`
	Count   policy.Count `json:"count"`
	Hosts   []string     `json:"hosts,omitempty"`   // that the call would be let reach
	Secrets []string     `json:"secrets,omitempty"` // names of those that it would be given
}

func (b Basis) encode() []byte {
	out, err := json.Marshal(b)
	if err != nil { // a total that is no number: the verdict stands, its basis is not recorded
		return nil
	}
	return out
}

// ParseBasis reads a recorded basis.
func ParseBasis(b []byte) (Basis, error) {
	out := Basis{Input: Input{Bounded: true}} // records from before calls could reach hosts do not say it
	if err := json.Unmarshal(b, &out); err != nil {
		return Basis{}, fmt.Errorf("read the basis of a verdict: %w", err)
	}
	return out, nil
}

// withWritten adds the votes of the written rules to those of the table.
func withWritten(votes []agent.Vote, r policy.Result) []agent.Vote {
	for _, f := range r.Fired {
		votes = append(votes, f.Vote())
	}
	return votes
}

// factsOf is what written rules see of a call.
func factsOf(in Input, call agent.ToolCall, spec agent.ToolSpec, sinks []agent.Sink, n policy.Count, hosts, secrets []string) policy.Facts {
	f := policy.Facts{
		Tool: call.Tool, Declared: spec.Effect, Effect: in.Effect, Args: call.Args, Sinks: sinks,
		Prompt: in.Prompt, Confirmed: in.Confirmed, Taint: in.taint(), Covered: in.Covered, Count: n, Hosts: hosts, Secrets: secrets,
	}
	for _, s := range sinks {
		if s.Role == agent.RoleCommand {
			f.Commands = append(f.Commands, commandsOf(s.Value)...)
		}
	}
	return f
}

// commandsOf is a command line as written rules see it. One that cannot be parsed is one
// command of which nothing is known.
func commandsOf(line string) []policy.Command {
	parsed, err := shell.Parse(line)
	if err != nil {
		return []policy.Command{{Nested: true}}
	}
	out := make([]policy.Command, len(parsed))
	for i, c := range parsed {
		out[i] = policy.Command{Name: c.Name, Words: c.Words, Plain: c.Plain, Writes: c.Writes, Reads: c.Reads, Nested: c.Nested}
	}
	return out
}

// past is what ran so far in a run.
type past struct {
	ran   []agent.ToolCall
	specs []agent.ToolSpec
}

// counted reads from a conversation which of its calls ran.
func counted(c agent.Conversation) past {
	p := past{specs: c.Tools}
	open := map[string]agent.ToolCall{}
	for _, m := range c.Messages {
		for _, k := range m.Calls {
			if m.Role == agent.Assistant {
				open[k.ID] = k
			}
		}
		if k, asked := open[m.CallID]; m.Role == agent.Tool && asked && (m.Text == frame.WithheldAll || !fixedText(m.Text)) {
			p.ran = append(p.ran, k)
			delete(open, m.CallID)
		}
	}
	return p
}

// before counts what ran before a call. Totals include the call itself.
func (p past) before(call agent.ToolCall, totals bool) policy.Count {
	n := policy.Count{}
	for _, k := range p.ran {
		if n.Calls == nil {
			n.Calls = map[string]int{}
		}
		n.Calls[k.Tool]++
		if (Input{Effect: p.spec(k.Tool).Effect}).outward() {
			n.BytesOut += int64(len(k.Args))
		}
	}
	if totals {
		n.Totals = map[string]float64{}
		for _, k := range append(p.ran[:len(p.ran):len(p.ran)], call) {
			if k.Tool == call.Tool {
				addNumbers(n.Totals, k.Args)
			}
		}
	}
	return n
}

func (p past) spec(tool string) agent.ToolSpec {
	for _, s := range p.specs {
		if s.Name == tool {
			return s
		}
	}
	return agent.ToolSpec{}
}

// addNumbers adds the numeric arguments of a call to the totals. A number or a sum that no
// float64 can hold makes the total the largest there is, and it stays so.
func addNumbers(totals map[string]float64, args string) {
	d := json.NewDecoder(strings.NewReader(args))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil {
		return // it was denied for that
	}
	for k, v := range m {
		n, ok := v.(json.Number)
		if !ok {
			continue
		}
		f, err := n.Float64()
		sum := totals[k] + f
		if err != nil || math.IsInf(sum, 0) || totals[k] == math.MaxFloat64 {
			sum = math.MaxFloat64
		}
		totals[k] = sum
	}
}
