package dataset

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// DecodeATIFLenient reads a document as [DecodeATIF] does, but leaves out what does not
// keep to the format and says what that was, one line each. Newer versions 1.x are read
// as the newest one known. What the format cannot do without, and bounds of size, stay
// required: errors wrap ErrATIF. A document that keeps to the format is read unchanged; of
// another, members of free objects may change places.
func DecodeATIFLenient(src []byte) (*ATIF, []string, error) {
	if d, err := DecodeATIF(src); err == nil {
		return d, nil, nil
	}
	l := &lenient{}
	d, err := l.decode(src)
	if err == nil {
		l.document("", d)
		err = d.Validate()
	}
	if err != nil {
		return nil, l.dropped, fmt.Errorf("%w: %w", ErrATIF, err)
	}
	return d, l.dropped, nil
}

// maxDropped bounds the report.
const maxDropped = 1000

type lenient struct{ dropped []string }

func (l *lenient) drop(at, why string) {
	if len(l.dropped) < maxDropped {
		l.dropped = append(l.dropped, where(at)+": "+why)
	}
}

func (l *lenient) decode(src []byte) (*ATIF, error) {
	if err := plainText(src); err != nil {
		return nil, err
	}
	tree, err := readTreeWith(src, func(name string) error {
		l.drop("", fmt.Sprintf("member %q is repeated, the last was kept", name))
		return nil
	})
	if err != nil {
		return nil, err
	}
	tree, ok := l.prune("", tree, reflect.TypeFor[ATIF]())
	if !ok {
		return nil, fmt.Errorf("not an object")
	}
	pruned, err := encode(tree)
	if err != nil {
		return nil, err
	}
	var d ATIF
	return &d, json.Unmarshal(pruned, &d)
}

var (
	rawType     = reflect.TypeFor[json.RawMessage]()
	contentType = reflect.TypeFor[ATIFContent]()
)

// prune leaves of a value what a type can hold. It reports whether anything is left.
func (l *lenient) prune(at string, v any, t reflect.Type) (any, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch list, isList := v.([]any); {
	case v == nil, t == rawType:
		return v, true
	case t == contentType && isList:
		return l.pruneList(at, list, reflect.TypeFor[ATIFPart]()), true
	case t == contentType:
		_, ok := v.(string)
		return v, ok
	case t.Kind() == reflect.Slice && isList:
		return l.pruneList(at, list, t.Elem()), true
	case t.Kind() == reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		l.pruneObject(at, m, t)
		return m, true
	}
	return v, fits(v, t.Kind())
}

func (l *lenient) pruneList(at string, list []any, t reflect.Type) []any {
	out := []any{}
	for i, x := range list {
		path := fmt.Sprintf("%s/%d", at, i)
		if x, ok := l.prune(path, x, t); ok && x != nil {
			out = append(out, x)
			continue
		}
		l.drop(path, "has the wrong form")
	}
	return out
}

func (l *lenient) pruneObject(at string, m map[string]any, t reflect.Type) {
	types := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		types[name] = t.Field(i).Type
	}
	for _, name := range sorted(m) {
		path := at + "/" + name
		of, known := types[name]
		if !known {
			l.drop(path, "is not known")
			delete(m, name)
			continue
		}
		x, ok := l.prune(path, m[name], of)
		if m[name] = x; !ok {
			l.drop(path, "has the wrong form")
			delete(m, name)
		}
	}
}

// fits reports whether a plain value can be held by a kind.
func fits(v any, k reflect.Kind) bool {
	switch x := v.(type) {
	case string:
		return k == reflect.String
	case bool:
		return k == reflect.Bool
	case json.Number:
		if k == reflect.Float64 {
			_, err := x.Float64()
			return err == nil
		}
		_, err := x.Int64()
		return err == nil && (k == reflect.Int || k == reflect.Int64)
	}
	return false
}

var newerATIF = regexp.MustCompile(`^ATIF-v1\.([0-9]{1,3})$`)

// document leaves out what the rules of Validate forbid.
func (l *lenient) document(at string, d *ATIF) {
	if v := newerATIF.FindString(d.Version); v != "" && !atifVersions.MatchString(v) {
		l.drop(at+"/schema_version", d.Version+" is newer, read as "+ATIFVersion)
		d.Version = ATIFVersion
	}
	l.extra(at, &d.Extra)
	l.extra(at+"/agent", &d.Agent.Extra)
	d.Agent.Tools = keep(l, at+"/agent/tool_definitions", d.Agent.Tools, func(c *atifCheck, at string, t *json.RawMessage) { c.tool(at, *t) })
	for i := range d.Steps {
		l.step(fmt.Sprintf("%s/steps/%d", at, i), i+1, &d.Steps[i])
	}
	if m := d.FinalMetrics; m != nil {
		path := at + "/final_metrics"
		l.extra(path, &m.Extra)
		for _, n := range []**int64{&m.Prompt, &m.Completion, &m.Cached, &m.Steps} {
			l.notNegative(path, n)
		}
		if m.Cost != nil && *m.Cost < 0 {
			l.drop(path, "negative cost")
			m.Cost = nil
		}
	}
	for i := range d.Subagents {
		l.document(fmt.Sprintf("%s/subagent_trajectories/%d", at, i), &d.Subagents[i])
	}
}

// keep leaves out the entries of a list that a check finds fault with.
func keep[T any](l *lenient, at string, list []T, check func(*atifCheck, string, *T)) []T {
	i := -1
	return slices.DeleteFunc(list, func(x T) bool {
		i++
		c := &atifCheck{}
		check(c, fmt.Sprintf("%s/%d", at, i), &x)
		for _, err := range c.errs {
			l.dropped = append(l.dropped, err.Error())
		}
		return len(c.errs) > 0
	})
}

func (l *lenient) extra(at string, x *json.RawMessage) {
	if *x != nil && !isObject(*x) {
		l.drop(at+"/extra", "is not an object")
		*x = nil
	}
}

func (l *lenient) notNegative(at string, n **int64) {
	if *n != nil && **n < 0 {
		l.drop(at, "a count is negative")
		*n = nil
	}
}

func (l *lenient) step(at string, id int, s *ATIFStep) {
	if s.ID != id {
		l.drop(at+"/step_id", fmt.Sprintf("%d became %d", s.ID, id))
		s.ID = id
	}
	if s.Source != "agent" && (s.Model != nil || s.Effort != nil || s.Reasoning != nil || s.Calls != nil || s.Metrics != nil) {
		l.drop(at, "model, reasoning, calls and metrics: only steps of the agent have them")
		s.Model, s.Effort, s.Reasoning, s.Calls, s.Metrics = nil, nil, nil, nil, nil
	}
	if s.Timestamp != nil {
		if _, err := time.Parse(time.RFC3339Nano, *s.Timestamp); err != nil {
			l.drop(at+"/timestamp", "is not ISO 8601")
			s.Timestamp = nil
		}
	}
	if c := (&atifCheck{}); s.LLMCalls != nil || s.Effort != nil {
		c.step(at, &ATIFStep{Source: s.Source, Effort: s.Effort, LLMCalls: s.LLMCalls, Metrics: s.Metrics, Reasoning: s.Reasoning})
		if len(c.errs) > 0 {
			l.drop(at, "reasoning_effort and llm_call_count do not fit the step")
			s.Effort, s.LLMCalls = nil, nil
		}
	}
	l.extra(at, &s.Extra)
	l.content(at+"/message", &s.Message)
	calls := map[string]bool{}
	for i := range s.Calls {
		l.extra(fmt.Sprintf("%s/tool_calls/%d", at, i), &s.Calls[i].Extra)
	}
	s.Calls = keep(l, at+"/tool_calls", s.Calls, func(c *atifCheck, at string, k *ATIFCall) {
		c.need(at, k.ID != "" && !calls[k.ID] && k.Function != "" && isObject(k.Arguments), "not a call with an identifier of its own, a function and arguments")
		calls[k.ID] = calls[k.ID] || len(c.errs) == 0
	})
	l.metrics(at+"/metrics", s.Metrics)
	if s.Observation != nil {
		l.results(at+"/observation/results", s.Observation, calls)
	}
}

func (l *lenient) results(at string, o *ATIFObservation, calls map[string]bool) {
	for i := range o.Results {
		r, path := &o.Results[i], fmt.Sprintf("%s/%d", at, i)
		if r.Call != nil && !calls[*r.Call] {
			l.drop(path+"/source_call_id", "names no call of the step")
			r.Call = nil
		}
		l.extra(path, &r.Extra)
		if r.Content != nil {
			l.content(path+"/content", r.Content)
		}
		r.Subagents = keep(l, path+"/subagent_trajectory_ref", r.Subagents, func(c *atifCheck, at string, f *ATIFRef) {
			c.need(at, f.ID != nil || f.Path != nil || f.Session != nil, "names nothing")
		})
	}
	o.Results = keep(l, at, o.Results, func(c *atifCheck, at string, r *ATIFResult) { c.result(at, *r, calls) })
}

func (l *lenient) content(at string, c *ATIFContent) {
	c.Parts = keep(l, at, c.Parts, func(v *atifCheck, at string, p *ATIFPart) { v.content(at, ATIFContent{Parts: []ATIFPart{*p}}) })
}

// metrics leaves out what contradicts the counts, arrays first.
func (l *lenient) metrics(at string, m *ATIFMetrics) {
	if m == nil {
		return
	}
	l.extra(at, &m.Extra)
	for _, n := range []**int64{&m.Prompt, &m.Completion, &m.Cached} {
		l.notNegative(at, n)
	}
	for _, try := range []struct {
		what string
		undo func()
	}{
		{"token arrays", func() { m.PromptIDs, m.CompletionIDs, m.Logprobs = nil, nil, nil }},
		{"cached_tokens and cost_usd", func() { m.Cached, m.Cost = nil, nil }},
	} {
		c := &atifCheck{}
		if c.metrics(at, m); len(c.errs) == 0 {
			return
		}
		l.drop(at, try.what+": "+c.errs[0].Error())
		try.undo()
	}
}
