package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// timeline prints a run as a page to read: when, what, and why, one step below the
// other. It keeps what later events refer to and is used for one run.
type timeline struct {
	t     *terminal
	v     *viewer
	began time.Time
	last  time.Time
	step  int
	gens  map[int64]agent.Purpose
}

func newTimeline(t *terminal) *timeline {
	return &timeline{t: t, v: newViewer(t), gens: map[int64]agent.Purpose{}}
}

// print shows one event, if it says something to a reader.
func (tl *timeline) print(e agent.Event) {
	if b, ok := e.Body.(*agent.GenStart); ok {
		tl.gens[e.Seq] = b.Purpose
	}
	if e.Seq == 1 {
		tl.began = e.At
		tl.header(e)
	}
	lines := tl.lines(e)
	if len(lines) == 0 {
		tl.last = e.At
		return
	}
	if e.Step > tl.step {
		tl.step = e.Step
		fmt.Fprintf(tl.t.out, "%s\n", tl.t.style(styleBold, fmt.Sprintf("step %d", tl.step)))
	}
	if gap := e.At.Sub(tl.last); !tl.last.IsZero() && gap > time.Minute {
		fmt.Fprintf(tl.t.out, "%s\n", tl.t.style(styleDim, fmt.Sprintf("               … %s later", gap.Round(time.Second))))
	}
	tl.last = e.At
	for i, line := range lines {
		where := strings.Repeat(" ", 15)
		if i == 0 {
			where = fmt.Sprintf("%4d %8.2fs ", e.Seq, e.At.Sub(tl.began).Seconds())
		}
		fmt.Fprintf(tl.t.out, "%s%s\n", tl.t.style(styleDim, where), line)
	}
}

func (tl *timeline) header(e agent.Event) {
	b, ok := e.Body.(*agent.RunStart)
	if !ok {
		return
	}
	fmt.Fprintf(tl.t.out, "%s  %s, %s, seed %d\n", tl.t.style(styleBold, e.At.Local().Format(time.DateTime)), inertLine(b.Agent, 40), inertLine(b.Build, 120), b.Seed)
	for _, w := range b.Warnings {
		fmt.Fprintf(tl.t.out, "%s\n", tl.t.style(styleAmber, "warning  "+inertLine(w, lineWidth)))
	}
}

// lines renders one event, nil for those that a reader does not miss.
func (tl *timeline) lines(e agent.Event) []string {
	switch b := e.Body.(type) {
	case *agent.ModelUsed:
		return []string{"model    " + inertLine(b.Name, 60) + tl.t.style(styleDim, fmt.Sprintf("  %s, context %d", modelName(b), b.Ctx))}
	case *agent.Said:
		return tl.said(b)
	case *agent.GenEnd:
		return tl.generated(e, b)
	case *agent.Turned:
		return tl.turned(b)
	case *agent.Judged:
		return append(strings.Split(tl.v.verdict(b), "\n"), tl.sinks(b)...)
	case *agent.Asked:
		return []string{tl.t.style(styleAmber, "asked    ") + "about the " + inertLine(b.About, 20)}
	case *agent.Answered:
		return []string{tl.t.style(styleBold, "answered ") + fmt.Sprintf("%s by %s, %s  %s", b.Choice, orNobody(inertLine(b.Who, 40)), inertLine(b.Via, 20), inertLine(b.Note.String(), lineWidth))}
	case *agent.Tainted:
		if b.Value == agent.TaintClean {
			return nil
		}
		return []string{tl.t.style(styleDim, "taint    the context is now "+b.Value.String())}
	case *agent.RunRecover:
		return []string{tl.t.style(styleAmber, "resumed  ") + fmt.Sprintf("after event %d; %s of unknown outcome", b.Last, count(len(b.Unknown), "call"))}
	case *agent.RunEnd:
		return []string{tl.t.style(styleBold, "end      ") + fmt.Sprintf("%s: %s, %s, %s  %s", inertLine(string(b.Status), 20), count(b.Steps, "step"),
			count(b.Calls, "call"), count(b.Denials, "denial"), inertLine(b.Answer.String()+b.Error.String(), lineWidth))}
	case *agent.Redacted:
		return []string{tl.t.style(styleAmber, "redacted ") + fmt.Sprintf("%s by %s  %s", count(len(b.Digests), "text"), inertLine(b.Who, 40), inertLine(b.Reason.String(), lineWidth))}
	case *agent.Scored:
		return []string{fmt.Sprintf("score    %s = %g by %s", inertLine(b.Name, 40), b.Value, inertLine(b.Source, 40))}
	case *agent.Exported:
		return []string{fmt.Sprintf("export   to %s as %s", inertLine(b.Name, 60), inertLine(b.Format, 40))}
	}
	if s := tl.v.line(e); s != "" {
		return strings.Split(s, "\n")
	}
	return nil
}

func orNobody(who string) string {
	if who == "" {
		return "nobody"
	}
	return who
}

// said shows the messages that are not shown otherwise: what a run began with, and what
// came with the request.
func (tl *timeline) said(b *agent.Said) []string {
	switch {
	case b.Copied && b.Role != agent.System:
		text := b.Text.String()
		if text == "" {
			text = b.Thought.String()
		}
		return []string{tl.t.style(styleDim, fmt.Sprintf("copied   %s: %s", inertLine(string(b.Role), 20), inertLine(text, lineWidth)))}
	case b.Role == agent.User && b.Origin.Source == agent.SourceTool:
		return []string{tl.t.style(styleDim, "data     "+inertLine(b.Text.String(), lineWidth))}
	case b.Role == agent.User && b.Origin.Source == agent.SourceOperator:
		return []string{tl.t.style(styleAmber, "repair   ") + inertLine(b.Text.String(), lineWidth)}
	}
	return nil
}

func (tl *timeline) turned(b *agent.Turned) []string {
	var out []string
	if b.By != "" && b.Calls != nil {
		out = append(out, tl.t.style(styleBold, "edited   ")+"by the "+inertLine(b.By, 20)+": "+inertLine(b.Calls.String(), lineWidth))
	}
	if b.Thought != nil {
		out = append(out, tl.t.style(styleBold, "thought  ")+inertLine(b.Thought.String(), lineWidth))
	}
	if b.Answer != nil {
		out = append(out, tl.t.style(styleBold, "answer   ")+inertLine(b.Answer.String(), lineWidth))
	}
	if b.Parse != agent.ParseClean {
		out = append(out, tl.t.style(styleAmber, "output   "+inertLine(string(b.Parse), 20)))
	}
	return out
}

// generated says how a turn's text came about.
func (tl *timeline) generated(e agent.Event, b *agent.GenEnd) []string {
	if b.Error != nil {
		return []string{tl.t.style(styleRed, "error    ") + inertLine(b.Error.String(), lineWidth)}
	}
	if tl.gens[e.Ref] != agent.PurposeAgent {
		return nil
	}
	if b.Told != nil {
		return []string{tl.t.style(styleDim, "tokens   "+toldWords(b.Told))}
	}
	s := fmt.Sprintf("tokens   %d sampled of %d in context, %d read anew", b.N, b.N+b.Cached+b.Evaluated, b.Evaluated)
	if p, ok := meanProbability(b); ok {
		s += fmt.Sprintf(", mean probability %.2f", p)
	}
	if b.GenUS > 0 {
		s += fmt.Sprintf(", %.0f/s", float64(b.N)/(float64(b.GenUS)/1e6))
	}
	return []string{tl.t.style(styleDim, s)}
}

// meanProbability is the geometric mean of the sampled tokens' probabilities.
func meanProbability(b *agent.GenEnd) (float64, bool) {
	p := floats(b.Raw)
	if len(p) == 0 {
		return 0, false
	}
	sum := 0.0
	for _, x := range p {
		sum += float64(x)
	}
	return math.Exp(sum / float64(len(p))), true
}

func floats(b *agent.Blob) []float32 {
	if b == nil {
		return nil
	}
	out := make([]float32, len(b.Data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b.Data[4*i:]))
	}
	return out
}

// sinks says where the arguments that direct an effect came from.
func (tl *timeline) sinks(b *agent.Judged) []string {
	var out []string
	for _, s := range sinksOf(b) {
		style := styleDim
		if !s.Origin.Trusted() {
			style = styleAmber
		}
		out = append(out, "         "+tl.t.style(style, fmt.Sprintf("%s: %s — from %s", inertLine(s.Arg, 40), inertLine(s.Value, 80), theOrigin(s.Origin))))
	}
	return out
}

func sinksOf(b *agent.Judged) []agent.Sink {
	if b.Sinks == nil || b.Sinks.Data == nil {
		return nil
	}
	var list []agent.Sink
	if err := json.Unmarshal(b.Sinks.Data, &list); err != nil {
		return nil
	}
	return list
}

// theOrigin names an origin within a sentence.
func theOrigin(o agent.Origin) string {
	switch s := origin(o); o.Source {
	case agent.SourceUser:
		return s
	case agent.SourceTool, agent.SourceOperator, agent.SourceModel:
		return "the " + s
	default:
		return "an " + s
	}
}
