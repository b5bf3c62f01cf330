package dataset

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// ToATIF writes a run as an ATIF document: every message and turn, with tokens,
// log-probabilities, verdicts and rewards. Generations of the judge are embedded as
// trajectories of their own, referred to from the step they speak of. An imported run
// gives back the document it came from.
func ToATIF(t *Trajectory, o RewardOptions) (*ATIF, error) {
	if d, ok, err := imported(t); ok || err != nil {
		return d, err
	}
	w := &atifWriter{t: t, d: &ATIF{Version: ATIFVersion, Session: &t.Run.Thread, ID: &t.Run.ID}}
	if t.Run.Thread == "" {
		w.d.Session = &t.Run.ID
	}
	w.d.Agent = ATIFAgent{Name: t.Start.Agent, Version: t.Start.Build, Model: optional(t.Model.Name)}
	for _, f := range toolList(t.Tools) {
		b, err := encode(f)
		if err != nil {
			return nil, err
		}
		w.d.Agent.Tools = append(w.d.Agent.Tools, b)
	}
	if w.d.Agent.Name == "" || w.d.Agent.Version == "" {
		w.d.Agent.Name, w.d.Agent.Version = or(w.d.Agent.Name, "holdfast"), or(w.d.Agent.Version, "unknown")
	}
	for _, e := range t.Entries {
		w.entry(e)
	}
	w.finish(o)
	if w.err != nil {
		return nil, w.err
	}
	return w.d, w.d.Validate()
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// atifWriter is the work of ToATIF.
type atifWriter struct {
	t        *Trajectory
	d        *ATIF
	embedded []int64 // generations, in order
	err      error
}

// extra encodes what goes into an extra member.
func (w *atifWriter) extra(v any) json.RawMessage {
	b, err := encode(v)
	if err != nil {
		w.err = err
	}
	return b
}

func stamp(at time.Time) *string {
	s := at.UTC().Format(time.RFC3339Nano)
	return &s
}

func (w *atifWriter) entry(e Entry) {
	m := e.Message
	if m.Role == agent.Tool && !e.Copied {
		return // in the step of its call
	}
	s := ATIFStep{ID: len(w.d.Steps) + 1, Source: "system", Message: ATIFContent{Text: m.Text}, Timestamp: stamp(e.At)}
	if e.Copied {
		yes := true
		s.Copied = &yes
	}
	switch {
	case e.Step != nil:
		w.turn(&s, e)
	case m.Role == agent.Assistant:
		s.Source, s.Reasoning = "agent", optional(m.Thought)
		for _, c := range m.Calls {
			s.Calls = append(s.Calls, ATIFCall{ID: c.ID, Function: c.Tool, Arguments: w.arguments(c)})
		}
	case m.Role == agent.User && m.Origin.Source == agent.SourceUser:
		s.Source = "user"
		w.request(&s, e)
	case m.Role == agent.User && m.Origin.Source == agent.SourceTool:
		s.Source, s.Extra = "user", w.extra(map[string]agent.Origin{"origin": m.Origin})
	case m.Role == agent.Tool: // copied: its call stands in another run
		s.Observation, s.Message = &ATIFObservation{[]ATIFResult{{Content: &ATIFContent{Text: m.Text}}}}, ATIFContent{}
	}
	if e.Erased {
		s.Extra = w.extra(map[string]bool{"withheld": true})
	}
	w.d.Steps = append(w.d.Steps, s)
}

type atifLabel struct {
	Value  string `json:"value"`
	Source string `json:"source,omitempty"`
}

type atifSafety struct {
	Outcome  string   `json:"outcome"`
	By       string   `json:"by"`
	Rules    []string `json:"rules,omitempty"`
	Label    string   `json:"label,omitempty"`
	Code     string   `json:"code,omitempty"`
	Asked    bool     `json:"asked,omitempty"`
	Answer   string   `json:"answer,omitempty"`
	Via      string   `json:"via,omitempty"`
	Decision int64    `json:"decision,omitempty"`
}

func safetyOf(j Judgement) *atifSafety {
	if j.Verdict == nil {
		return nil
	}
	s := &atifSafety{Outcome: j.Verdict.Outcome.String(), By: j.Verdict.By, Code: j.Verdict.Code, Asked: j.Asked()}
	for _, v := range j.Verdict.Votes {
		s.Rules = append(s.Rules, v.Rule)
	}
	if j.Answer != nil {
		s.Answer, s.Via = j.Answer.Choice.String(), j.Answer.Via
	}
	return s
}

func labelsOf(list []Label) []atifLabel {
	var out []atifLabel
	for _, l := range list {
		out = append(out, atifLabel{l.Value.String(), l.Source})
	}
	return out
}

// request adds to the user's step what the judge made of it.
func (w *atifWriter) request(s *ATIFStep, e Entry) {
	var x struct {
		Labels []atifLabel `json:"labels,omitempty"`
		Safety *atifSafety `json:"safety,omitempty"`
	}
	var gens []int64
	var own []Label
	for _, l := range w.t.Labels {
		if l.Channel == agent.UserPrompt {
			own = append(own, l)
		}
	}
	for _, g := range w.t.Gens {
		if g.Purpose != agent.PurposeAgent && g.Seq > e.Seq && (len(w.t.Steps) == 0 || g.Seq < w.t.Steps[0].Seq) {
			gens = append(gens, g.Seq)
		}
	}
	x.Labels, x.Safety = labelsOf(own), safetyOf(w.t.Prompt)
	if x.Labels != nil || x.Safety != nil {
		s.Extra = w.extra(x)
	}
	if refs := w.refs(gens); refs != nil {
		s.Observation = &ATIFObservation{[]ATIFResult{{Subagents: refs}}}
	}
}

func (w *atifWriter) refs(gens []int64) []ATIFRef {
	var out []ATIFRef
	for _, seq := range gens {
		if slices.Contains(w.embedded, seq) {
			continue
		}
		id := w.subID(seq)
		out = append(out, ATIFRef{ID: &id})
		w.embedded = append(w.embedded, seq)
	}
	return out
}

func (w *atifWriter) subID(seq int64) string { return fmt.Sprintf("%s/gen/%d", w.t.Run.ID, seq) }

// turn writes a turn of the agent with its calls and what they returned.
func (w *atifWriter) turn(s *ATIFStep, e Entry) {
	step := e.Step
	s.Source, s.Reasoning = "agent", optional(e.Message.Thought)
	n := 0
	if step.Gen != nil {
		n = 1
		s.Model, s.Metrics = optional(w.t.Model.Name), w.metrics(step.Gen)
	} else {
		s.Reasoning = nil
	}
	s.LLMCalls = &n
	s.Extra = w.extra(struct {
		Parse     agent.ParseStatus `json:"parse"`
		Trainable bool              `json:"trainable"`
	}{step.Parse, step.Trainable()})
	var results []ATIFResult
	for _, c := range step.Calls {
		k := ATIFCall{ID: c.ID, Function: c.Tool, Arguments: w.arguments(c.ToolCall)}
		if x := safetyOf(c.Judgement); x != nil {
			x.Decision = c.DecisionSeq
			if len(c.Verdict.Gens) > 0 || c.Verdict.Label != agent.Unknown {
				x.Label = c.Verdict.Label.String()
			}
			k.Extra = w.extra(map[string]*atifSafety{"safety": x})
		}
		s.Calls = append(s.Calls, k)
		if r, ok := w.result(c); ok {
			results = append(results, r)
		}
	}
	if results != nil {
		s.Observation = &ATIFObservation{results}
	}
}

func (w *atifWriter) arguments(c agent.ToolCall) json.RawMessage {
	if c.CheckArgs() == nil {
		return json.RawMessage(c.Args)
	}
	return w.extra(map[string]string{"unreadable": c.Args}) // it never became a proposal
}

// result writes what the model was told about a call, and the judge's generations on it.
func (w *atifWriter) result(c *Call) (ATIFResult, bool) {
	r := ATIFResult{Call: &c.ID}
	if c.ShownSeq > 0 {
		r.Content = &ATIFContent{Text: c.Shown}
	}
	var x struct {
		Status  agent.CallStatus `json:"status,omitempty"`
		Code    string           `json:"code,omitempty"`
		Exit    int              `json:"exit,omitempty"`
		Started *string          `json:"started,omitempty"`
		Ended   *string          `json:"ended,omitempty"`
		US      int64            `json:"us,omitempty"`
		Labels  []atifLabel      `json:"labels,omitempty"`
		Safety  *atifSafety      `json:"safety,omitempty"`
	}
	if c.End != nil {
		x.Status, x.Code, x.Exit, x.US, x.Ended = c.End.Status, c.End.Code, c.End.Exit, c.End.US, stamp(c.Ended)
		if !c.Started.IsZero() {
			x.Started = stamp(c.Started)
		}
	}
	x.Labels, x.Safety = labelsOf(c.Labels), safetyOf(c.Response)
	var gens []int64
	if c.Verdict != nil {
		gens = append(gens, c.Verdict.Gens...)
	}
	for _, g := range w.t.Gens { // what was generated between a call's end and its message
		if g.Purpose != agent.PurposeAgent && c.EndSeq > 0 && g.Seq > c.EndSeq && g.Seq < c.ShownSeq {
			gens = append(gens, g.Seq)
		}
	}
	r.Subagents = w.refs(gens)
	if c.End != nil {
		r.Extra = w.extra(x)
	}
	return r, r.Content != nil || r.Subagents != nil
}

// metrics writes the account of one generation.
func (w *atifWriter) metrics(g *Gen) *ATIFMetrics {
	if g.Erased || g.Hidden {
		return withheldMetrics()
	}
	p, n := g.counts()
	cached := int64(g.Cached)
	m := &ATIFMetrics{Prompt: &p, Completion: &n, Cached: &cached, PromptIDs: wide(g.Prompt), CompletionIDs: wide(g.IDs)}
	x := struct {
		Total    int64        `json:"total_tokens"`
		Finish   agent.Finish `json:"finish,omitempty"`
		Sampled  []float32    `json:"sampled_logprobs,omitempty"`
		Forced   []int        `json:"forced,omitempty"`
		Temp     float64      `json:"temp"`
		Seed     uint64       `json:"seed"`
		Prefill  int64        `json:"prefill_us"`
		Gen      int64        `json:"gen_us"`
		Infinite []int        `json:"infinite,omitempty"` // places where the log-probability is minus infinity
	}{Total: n + p, Finish: g.Finish, Temp: g.Temp, Seed: g.Seed, Prefill: g.PrefillUS, Gen: g.GenUS}
	for i := range g.IDs {
		raw, sampled, forced := float64(g.Raw[i]), g.Sampled[i], 0
		if !finite(g.Raw[i]) || !finite(sampled) {
			raw, sampled = 0, 0
			x.Infinite = append(x.Infinite, i)
		}
		if g.Forced[i] {
			forced = 1
		}
		m.Logprobs, x.Sampled, x.Forced = append(m.Logprobs, raw), append(x.Sampled, sampled), append(x.Forced, forced)
	}
	m.Extra = w.extra(x)
	return m
}

// counts is the number of tokens read and written, by the server's word where it gave none.
func (g *Gen) counts() (prompt, output int64) {
	if g.Told != nil {
		return int64(g.Told.Prompt), int64(g.Told.Output)
	}
	return int64(len(g.Prompt)), int64(len(g.IDs))
}

func wide(v []int32) []int64 {
	out := make([]int64, len(v))
	for i, n := range v {
		out[i] = int64(n)
	}
	return out
}

// finish writes what speaks of the whole run.
func (w *atifWriter) finish(o RewardOptions) {
	t := w.t
	type about struct {
		Run    string       `json:"run"`
		Parent string       `json:"parent,omitempty"`
		Task   string       `json:"task,omitempty"`
		Group  string       `json:"group,omitempty"`
		Sample int64        `json:"sample"`
		Status agent.Status `json:"status,omitempty"`
		Train  bool         `json:"train"`
		Seed   uint64       `json:"seed"`
		GGUF   string       `json:"gguf,omitempty"`
		Engine string       `json:"engine,omitempty"`
		Frames string       `json:"frames,omitempty"`
		Head   string       `json:"head"`
	}
	w.d.Extra = w.extra(struct {
		Holdfast about  `json:"holdfast"`
		Reward   Reward `json:"reward"`
	}{about{t.Run.ID, t.Run.Parent, t.Run.Task, t.Run.Group, t.Run.Sample, t.Status(), t.Start.Train, t.Start.Seed,
		t.Model.GGUF, t.Model.Engine, t.Start.Frames, hex.EncodeToString(t.Head[:])}, o.Score(t)})
	var prompt, completion, cached int64
	for _, s := range t.Steps {
		if s.Gen != nil {
			p, n := s.Gen.counts()
			prompt, completion, cached = prompt+p, completion+n, cached+int64(s.Gen.Cached)
		}
	}
	steps := int64(len(w.d.Steps))
	w.d.FinalMetrics = &ATIFFinal{Prompt: &prompt, Completion: &completion, Cached: &cached, Steps: &steps}
	slices.Sort(w.embedded)
	for _, g := range t.Gens {
		if slices.Contains(w.embedded, g.Seq) {
			w.d.Subagents = append(w.d.Subagents, w.sub(g))
		}
	}
}

// sub is one generation of the judge as a trajectory of its own.
func (w *atifWriter) sub(g *Gen) ATIF {
	id, one := w.subID(g.Seq), 1
	return ATIF{Version: ATIFVersion, Session: w.d.Session, ID: &id,
		Agent: ATIFAgent{Name: w.d.Agent.Name + "/" + string(g.Purpose), Version: w.d.Agent.Version, Model: w.d.Agent.Model},
		Steps: []ATIFStep{{ID: 1, Source: "agent", Message: ATIFContent{Text: g.Text}, Timestamp: stamp(g.At),
			Model: w.d.Agent.Model, Metrics: w.metrics(g), LLMCalls: &one}}}
}
