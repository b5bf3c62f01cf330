package provenance

import "github.com/holdfast-run/holdfast/runtime/agent"

// edits takes in a call that a person put in the place of one of the model's: the values
// that they wrote anew are theirs, each as a whole. What they left as it was, and any part
// of a value, is traced as before: whoever changes a word of a text does not vouch for the
// rest of it.
func (r *Record) edits(before []agent.ToolCall, now agent.ToolCall) {
	kept := map[string]bool{}
	for _, c := range before {
		if c.Tool == now.Tool {
			for _, v := range values(c.Args) {
				kept[v] = true
			}
		}
	}
	for _, v := range values(now.Args) {
		if !kept[v] {
			r.wrote = append(r.wrote, v)
		}
	}
}

// values are the texts in the arguments of a call, none if they cannot be read.
func values(args string) []string {
	v, err := parseJSON(args)
	if err != nil {
		return nil
	}
	return agent.Strings(v)
}
