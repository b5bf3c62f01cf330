// Package approval writes the questions that a person is asked, and remembers what they
// agreed to for a run.
//
// A question is the runtime's words. Texts of the model, of tools and of the user stand in
// it only between quotation marks, on lines that begin with a margin, with everything
// made visible that could act on a terminal, hide, reorder or pass for something else:
// the pieces between the marks, put together, are exactly the value. Nothing is left out,
// however long it is; of a line that repeats it is told how often. What matters most stands last, next to where the answer is typed.
//
// The package prints nothing, reads nothing and decides nothing. A Memory is used by one
// run; the rest is safe for concurrent use.
package approval

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/shell"
)

// Lifetime is how long a question on a screen can be answered; after that what it shows
// may no longer be so, and it is shown again.
const Lifetime = 10 * time.Minute

// Screen is a question as it is shown.
type Screen struct {
	Body []string // the whole of what is asked about, line by line
	Sum  []string // what it comes to: shown last, never scrolled away by the body
}

// String is all that is shown, which is what goes on record.
func (s Screen) String() string {
	return strings.Join(append(append([]string{}, s.Body...), s.Sum...), "\n")
}

// Render writes a question for a screen of width columns, at least 40; 0 means 80.
func Render(q agent.Question, width int) Screen {
	if width == 0 {
		width = 80
	}
	w := &writer{width: max(width, 40)}
	switch {
	case q.Call != nil:
		w.call(q)
	case q.Tool != nil:
		w.line("The response of %s may hold private data. The agent would read:", Quote(q.Tool.Call.Tool))
		w.text("  ", q.Tool.Text)
	default:
		w.line("Your request is judged sensitive:")
		w.text("  ", q.Prompt)
	}
	s := Screen{Body: w.lines}
	w.lines = nil
	w.sum(q)
	s.Sum = w.lines
	return s
}

// writer collects lines.
type writer struct {
	width int
	lines []string
}

// line adds one line of the runtime's words.
func (w *writer) line(format string, a ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, a...))
}

// repeated is how many times in a row a line is written out, before its number stands for it:
// what follows a hundred empty lines is to be seen.
const repeated = 3

// text adds a value between quotation marks, broken where it breaks and where the screen
// ends.
func (w *writer) text(margin, s string) {
	all := pieces(s, w.width-len(margin)-2)
	for i := 0; i < len(all); {
		n := 1
		for i+n < len(all) && all[i+n] == all[i] {
			n++
		}
		line := margin + `"` + all[i] + `"`
		if n > repeated {
			w.lines = append(w.lines, line, fmt.Sprintf("%sthe line above %d times more", margin, n-1))
		} else {
			w.lines = append(w.lines, slices.Repeat([]string{line}, n)...)
		}
		i += n
	}
}

// call writes a call with every argument, in the order they will be passed.
func (w *writer) call(q agent.Question) {
	w.line("The agent wants to call %s.", plainName(q.Call.Tool))
	effect := Effect(q.Effect)
	if q.Effect == agent.Irreversible && kept(q.Grant) {
		effect = "may overwrite, move or remove data"
	}
	w.line("  It %s:", effect)
	args, ok := arguments(q.Call.Args)
	if !ok {
		w.line("  arguments that cannot be read:")
		w.text("    ", q.Call.Args)
		return
	}
	if len(args) == 0 {
		w.line("  no arguments")
	}
	for _, a := range args {
		short := pieces(a.value, w.width-len(a.name)-8)
		switch {
		case !a.text:
			w.line("  %s = %s", a.name, a.value)
		case len(short) == 1:
			w.line("  %s = \"%s\"", a.name, short[0])
		default:
			w.line("  %s = %s:", a.name, size(a.value))
			w.text("    ", a.value)
		}
	}
	if len(q.Runs) > 0 {
		w.line("  That starts, without a shell:")
		for _, a := range q.Runs {
			w.text("    ", a)
		}
	}
	if q.Input != "" {
		w.line("  and gives it as its input %s:", size(q.Input))
		w.text("    ", q.Input)
	}
}

// size says how long a text is.
func size(s string) string {
	lines := strings.Count(strings.TrimSuffix(s, "\n"), "\n") + 1
	return fmt.Sprintf("%d characters on %d lines", len([]rune(s)), lines)
}

// sum writes what a question comes to.
func (w *writer) sum(q agent.Question) {
	for _, s := range q.Sinks {
		w.line("  aimed at  %s %s, %s", plainName(s.Arg), w.short(s.Value), Origin(s.Origin))
		if note := disguise(s.Value); note != "" {
			w.line("  beware    %s", note)
		}
		if s.Role == agent.RoleCommand {
			for _, d := range shell.Dangers(s.Value) {
				w.line("  danger    %s", d)
			}
		}
	}
	label := "  label     " + q.Label.String()
	if q.Probs.Known() {
		label += fmt.Sprintf(" (benign %.2f, sensitive %.2f, malicious %.2f)", q.Probs[0], q.Probs[1], q.Probs[2])
	}
	w.line("%s", label)
	if q.Reason != "" {
		w.line("  because   %s, says the model", w.short(q.Reason))
	}
	for _, v := range q.Votes {
		if v.Outcome == agent.Ask || v.Outcome == agent.Deny {
			w.line("  asked by  rule %s: %s", plainName(v.Rule), Visible(v.Reason))
		}
	}
	if q.Call != nil && q.Grant.Profile == agent.Reduced {
		w.line("  beware    its cell is reduced: this machine cannot give it all that one has")
	}
	for _, h := range q.Grant.Hosts {
		w.line("  network   could send what it sees to %s", Quote(h))
	}
	for _, n := range q.Grant.Secrets {
		w.line("  secret    would be given %s", Quote(n))
	}
	if q.Call != nil {
		w.line("  grants    %s", Grant(q.Grant))
		if kept(q.Grant) {
			w.line("  undo      kept for a while: holdfast sandbox undo takes its changes back")
		}
		d := q.Call.Digest()
		w.line("  call      %s, %d bytes of arguments", hex.EncodeToString(d[:8]), len(q.Call.Args))
	}
}

// kept reports whether all that a call of a grant can change is the workspace: what a commit
// takes away is kept for undoing it, and a cell without network changes nothing else.
func kept(g agent.Grant) bool { return g.Write && len(g.Hosts) == 0 }

// short is a value on one line, its middle left out where it is long: all of it stands in
// the body.
func (w *writer) short(s string) string {
	p := pieces(strings.ReplaceAll(s, "\n", "\u240a"), max(w.width-30, 20))
	if !strings.Contains(s, "\n") && len(p) == 1 {
		return `"` + p[0] + `"`
	}
	return fmt.Sprintf("%s… (%s)", Quote(firstRunes(s, max(w.width-40, 12))), size(s))
}

func firstRunes(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}

// effectWords says in words what a call of each effect can do.
var effectWords = map[agent.Effect]string{
	agent.Pure:          "computes only",
	agent.Read:          "reads the workspace",
	agent.SensitiveRead: "reads private data",
	agent.Write:         "changes files of the workspace",
	agent.Outward:       "sends something out of this machine",
	agent.Irreversible:  "may overwrite, move or remove data, which cannot be undone",
}

// Effect says in words what a call of an effect can do.
func Effect(e agent.Effect) string {
	if s, ok := effectWords[e]; ok {
		return s
	}
	return "can do anything (its effect is not declared)"
}

// Origin says in words where a value came from.
func Origin(o agent.Origin) string {
	switch o.Source {
	case agent.SourceTool:
		if len([]rune(o.Tool)) > 60 {
			return "from the response of " + Quote(firstRunes(o.Tool, 60)) + "…"
		}
		return "from the response of " + Quote(o.Tool)
	case agent.SourceUser:
		return "from your request"
	case agent.SourceOperator:
		return "from the operator"
	case agent.SourceModel:
		return "made up by the model"
	}
	return "of unknown origin"
}

// Grant says in words what a call gets if it is allowed.
func Grant(g agent.Grant) string {
	s := g.Profile.String() + " profile"
	switch {
	case g.Write && g.Drop:
		s += ", may write the workspace, which is dropped"
	case g.Write:
		s += ", may write the workspace"
	}
	for _, h := range g.Hosts {
		s += ", may reach " + Quote(h)
	}
	for _, n := range g.Secrets {
		s += ", is given the secret " + Quote(n)
	}
	return s
}
