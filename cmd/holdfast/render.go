package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// viewer shows a run as it happens, from its committed events alone: what is on the
// screen is in the ledger.
type viewer struct {
	t    *terminal
	said string // degraded layers already shown: they are the same for each cell
}

func newViewer(t *terminal) *viewer { return &viewer{t: t} }

// width of the texts shown on one progress line.
const lineWidth = 160

// progressIndent is where the text of a progress line stands.
const progressIndent = 9

// see shows one event.
func (v *viewer) see(e agent.Event) {
	if s := v.line(e); s != "" {
		v.t.printf("%s\n", v.t.fit(s, progressIndent))
	}
}

// line renders one event, "" for those that are not shown.
func (v *viewer) line(e agent.Event) string {
	t := v.t
	switch b := e.Body.(type) {
	case *agent.RunStart:
		return t.style(styleDim, "task     ") + inertLine(b.Task.String(), lineWidth)
	case *agent.Turned:
		if b.Thought == nil {
			return ""
		}
		return t.style(styleBold, "thought  ") + inertLine(b.Thought.String(), lineWidth)
	case *agent.Labelled:
		if b.Channel == agent.UserPrompt {
			return "" // its verdict follows and says the same
		}
		return fmt.Sprintf("%s%s %s  %s", t.style(styleBold, "response "), v.label(b.Value), probs(b.P),
			t.style(styleDim, inertLine(b.Reason.String(), lineWidth)))
	case *agent.Authorised:
		return t.style(styleDim, "plan     "+inertLine(effects(b.Tools), lineWidth))
	case *agent.Judged:
		return v.verdict(b)
	case *agent.Decided:
		return v.decided(b)
	case *agent.CallReady:
		return t.style(styleDim, "cell     attested"+v.degraded(b.Degraded))
	case *agent.CallEnd:
		return v.ended(b)
	case *agent.LimitHit:
		return t.style(styleAmber, "limit    ") + fmt.Sprintf("%s (%d)", inertLine(b.Which, 40), b.Value)
	case *agent.Failed:
		if b.Where == agent.Interrupted {
			return t.style(styleAmber, "stopped  ") + inertLine(b.Text.String(), lineWidth)
		}
		return t.style(styleRed, "error    ") + inertLine(b.Text.String(), lineWidth)
	}
	return ""
}

func (v *viewer) label(l agent.Label) string {
	switch l {
	case agent.Benign:
		return v.t.style(styleGreen, l.String())
	case agent.Sensitive:
		return v.t.style(styleAmber, l.String())
	}
	return v.t.style(styleRed, l.String())
}

func (v *viewer) outcome(o agent.Outcome) string {
	switch o {
	case agent.Allow:
		return v.t.style(styleGreen, o.String())
	case agent.Ask:
		return v.t.style(styleAmber, o.String())
	}
	return v.t.style(styleRed, o.String())
}

func (v *viewer) verdict(b *agent.Judged) string {
	s := fmt.Sprintf("%s%s  %s %s", v.t.style(styleBold, "verdict  "), v.outcome(b.Outcome), v.label(b.Label), probs(b.P))
	if b.Reason != nil {
		s += "  " + v.t.style(styleDim, inertLine(b.Reason.String(), lineWidth))
	}
	if b.Outcome != agent.Allow {
		for _, w := range b.Votes {
			if w.Outcome == b.Outcome {
				s += "\n         " + v.t.style(styleDim, "rule "+inertLine(w.Rule, 80)+": "+inertLine(w.Reason, lineWidth))
			}
		}
	}
	return s
}

func (v *viewer) decided(b *agent.Decided) string {
	var c agent.ToolCall
	_ = json.Unmarshal([]byte(b.Call.String()), &c) // ours; an erased one shows empty
	return fmt.Sprintf("%s%s %s  %s by %s%s", v.t.style(styleBold, "call     "), inertLine(b.Tool, 40),
		inertLine(c.Args, lineWidth), v.outcome(b.Outcome), inertLine(b.By, 40), v.t.style(styleDim, grants(b.Grant)))
}

func (v *viewer) ended(b *agent.CallEnd) string {
	s := fmt.Sprintf("result   %s in %.1f ms", inertLine(string(b.Status), 20), float64(b.US)/1000)
	if b.Code != "" {
		s += " (" + inertLine(b.Code, 60) + ")"
	}
	if b.Out != nil {
		s += "  " + inertLine(b.Out.String(), lineWidth)
	}
	for _, line := range connLines(b.Sandbox) {
		s += "\nnetwork  " + line
	}
	if line := changedLine(b.Sandbox); line != "" {
		s += "\nchanged  " + inertLine(line, 400)
	}
	return v.t.style(styleDim, s)
}

func probs(p agent.LabelProbs) string {
	if !p.Known() {
		return ""
	}
	return fmt.Sprintf("(benign %.2f, sensitive %.2f, malicious %.2f)", p[0], p[1], p[2])
}

func grants(g agent.Grant) string {
	s := "; " + g.Profile.String() + " profile"
	switch {
	case g.Write && g.Drop:
		s += ", may write the workspace, which is dropped"
	case g.Write:
		s += ", may write the workspace"
	}
	if len(g.Hosts) > 0 {
		s += ", may reach " + inertLine(strings.Join(g.Hosts, ", "), lineWidth)
	}
	if len(g.Secrets) > 0 {
		s += ", is given the secret " + inertLine(strings.Join(g.Secrets, ", "), lineWidth)
	}
	return s
}

// degraded lists what the cells of this run lack, once.
func (v *viewer) degraded(list []string) string {
	s := inertLine(strings.Join(list, ", "), 2*lineWidth)
	if s == v.said {
		return ""
	}
	v.said = s
	return " (" + s + ")"
}

// effects says what a request authorises beyond reading.
func effects(tools []string) string {
	if len(tools) == 0 {
		return "nothing beyond reading"
	}
	return "may use " + strings.Join(tools, ", ")
}
