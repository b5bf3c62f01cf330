package main

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/tools"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// The label words.
const (
	benign    = "benign"
	sensitive = "sensitive"
	malicious = "malicious"
)

// withheldTail ends an answer that rests on a response of which part is missing.
const withheldTail = " Part of the data was withheld."

// builder makes one document by playing a run: it asks the request, carries out the
// calls in a real workspace, and branches off what the judge would ask.
type builder struct {
	*source
	ws   *workspace
	main thread
	doc  document

	said    []string        // the user's requests so far
	label   string          // of the current request
	plan    map[string]bool // tools of the current request
	planAt  int             // index of the plan fork, -1 for none
	evil    []marked        // injected lines, with what they order
	private []marked        // lines with a secret, with its key
	clean   bool            // put neither injections nor secrets into this task's data
	decoys  []string        // lines that ask something of people

	broken   bool        // the next call is first made in a form that cannot be read
	withheld bool        // something of a response is missing
	held     withholding // why a response is missing as a whole
	gist     []string    // what the answer must hold, where the wording around it may differ
	edits    bool        // a call changes a file in place, which is asked about
	wrongs   int         // forks with calls that do not follow
}

// withholding says why a response is held back as a whole.
type withholding uint8

const (
	heldNone   withholding = iota
	heldOrders             // all of it gives orders
	heldSecret             // it holds a secret and the user did not want it read
	heldByDraw             // by chance; the runtime would show some of it
)

// marked is a text put into data on purpose, and what marks it.
type marked struct {
	text, mark string
	obey       order // of an injected text
}

// markIn returns the mark of the first text that stands within l, "" if none does.
func markIn(of []marked, l string) string {
	for _, m := range of {
		if strings.Contains(l, m.text) {
			return m.mark
		}
	}
	return ""
}

func newBuilder(s *source, ws *workspace) *builder {
	b := &builder{source: s, ws: ws}
	b.main.say("system", frame.System)
	return b
}

// ask puts the user's request, with its label and, unless it is refused, its plan.
// The judge of requests sees what the system and the user said, never tools.
func (b *builder) ask(request, label, reason string) {
	at, t := b.before()
	b.said = append(b.said, request)
	b.main.say("user", request)
	b.label, b.plan, b.planAt, b.withheld = label, map[string]bool{}, -1, false
	b.doc.Meta.Label = label
	b.doc.Meta.Turns++
	fork := func(purpose, question, answer, want string) {
		f := b.main.fork()
		n := len(b.main.segs)
		if t != nil {
			f, n = &thread{segs: append([]segment(nil), t.segs...), tail: t.tail}, at
			f.say("user", request)
		}
		f.say("user", question)
		f.reply(answer, true)
		b.doc.Forks = append(b.doc.Forks, branch{n, f.segs, purpose, want})
	}
	fork("label", frame.Label, verdict(reason, label), label)
	if label == malicious {
		return
	}
	b.planAt = len(b.doc.Forks)
	fork("plan", frame.Plan, planText(nil), "")
}

// needs adds tools to the plan of the current request: those that it needs even when
// the work ends early.
func (b *builder) needs(names ...string) {
	for _, n := range names {
		b.plan[n] = true
	}
}

// before returns, from the second request on, the thread of earlier requests alone and
// where it leaves the main line.
func (b *builder) before() (int, *thread) {
	if len(b.said) == 0 {
		return 0, nil
	}
	first := 4 // template, system, template, request
	t := &thread{tail: closes + "\n"}
	for _, r := range b.said[1:] {
		t.say("user", r)
	}
	return first, t
}

// settlePlan writes the tools used since the request into its plan.
func (b *builder) settlePlan() {
	if b.planAt < 0 {
		return
	}
	var names []string
	for n := range b.plan {
		names = append(names, n)
	}
	sort.Strings(names)
	p := &b.doc.Forks[b.planAt]
	p.Segments[len(p.Segments)-1].Text = planText(names) + closes
	p.Want = strings.Join(names, " ")
	b.doc.Meta.Plan = names
}

// verdict renders the answer to a label, review or screen question.
func verdict(reason, label string) string {
	return `{"reason": ` + quoted(reason) + `, "label": "` + label + `"}`
}

func planText(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = `"` + n + `"`
	}
	return `{"tools": [` + strings.Join(q, ", ") + `]}`
}

// result is what a call left in the main line.
type result struct {
	text string // as the model sees it, without marks
	ok   bool   // the tool succeeded and its response was shown
	why  string // "denied: ...", "error: ..." or withheld, when not ok
}

// failedCodes are the reason codes that a denied call may carry, by weight.
var failedCodes = []string{"user_denied", "user_denied", "not_authorised", "untrusted_value", "unsafe", "judge_error", "nobody_to_ask", "sandbox"}

// act proposes a call, has it reviewed, runs it and screens what it returns. args are
// names and values in the order of the tool's schema.
func (b *builder) act(thought, tool string, args ...string) (result, error) {
	j := object(args...)
	b.plan[tool] = true
	b.doc.Meta.Calls = append(b.doc.Meta.Calls, call{tool, j})
	b.wrongCalls(tool, args)
	if b.broken {
		b.broken = false
		b.again(speak(thought, tool, j))
	}
	b.main.reply(speak(thought, tool, j), true)
	label := benign
	if b.label == sensitive {
		label = sensitive
	}
	b.review(b.main.fork(), len(b.main.segs), tool, b.reviewReason(label, tool, args), label)
	effect := tool == toolbox.WriteFile || tool == tools.RunCommand
	if b.chance(0.012) || effect && b.chance(0.04) {
		return b.denied(one(b.source, failedCodes)), nil
	}
	text, ok, err := b.ws.run(tool, args)
	if err != nil {
		return result{}, err
	}
	return b.respond(tool, args, text, ok), nil
}

// denied answers a call that did not run.
func (b *builder) denied(code string) result {
	t := frame.Denied(code)
	b.main.say("tool", t)
	b.doc.Meta.Denied = true
	_, why, _ := strings.Cut(t, ": ")
	return result{text: t, why: why}
}

// review branches off a verdict on the last call of a thread. Reads are now and then
// judged without a reason, which the runtime can ask for: whether there is one is not
// for the model to guess.
func (b *builder) review(f *thread, at int, tool, reason, label string) {
	f.say("user", frame.Review)
	if tool != tools.RunCommand && tool != toolbox.WriteFile && b.chance(0.2) {
		f.continued(`{"reason": "",`, ` "label": "`+label+`"}`)
	} else {
		f.reply(verdict(reason, label), true)
	}
	b.doc.Forks = append(b.doc.Forks, branch{at, f.segs, "review", label})
}

// answer ends the work on a request.
func (b *builder) answer(text string) {
	if b.withheld {
		text = strings.TrimRight(text, "\n") + withheldTail
	}
	b.main.reply(text, true)
	b.doc.Meta.Answer = text
	b.settlePlan()
}

// forkShare is how much of the forks of a kind training documents keep: short
// documents hold more different runs in the same number of tokens.
var forkShare = map[string]float64{"label": 1, "plan": 0.5, "review": 0.5, "screen": 0.35}

// thin drops forks from a training document. Those that must find something stay longer.
func (b *builder) thin() {
	kept := b.doc.Forks[:0]
	for _, f := range b.doc.Forks {
		share := forkShare[f.Purpose]
		if f.Want == malicious {
			share *= 1.3
		}
		if b.chance(share) {
			kept = append(kept, f)
		}
	}
	b.doc.Forks = kept
}

// brief cuts a document down to its request, with what is asked of it: a fifth of the
// length, so that labels and plans of many more requests fit into the same tokens.
func (b *builder) brief() {
	at := b.doc.Forks[0].At
	var kept []branch
	for _, f := range b.doc.Forks {
		if f.At == at && (f.Purpose == "label" || f.Purpose == "plan") {
			kept = append(kept, f)
		}
	}
	b.main.segs, b.doc.Forks = b.main.segs[:at], kept
	b.doc.Meta.Brief = true
}

// finish returns the document.
func (b *builder) finish(id, kind string) document {
	if b.split == splitTrain {
		if b.doc.Meta.Turns == 1 && b.chance(0.25) {
			b.brief()
		}
		b.thin()
	}
	b.doc.ID, b.doc.Kind, b.doc.Split, b.doc.Main = id, kind, b.split, b.main.segs
	return b.doc
}

// file puts a file into the workspace.
func (b *builder) file(path string, lines []string) error {
	text := strings.Join(lines, "\n")
	if !b.chance(0.1) {
		text += "\n"
	}
	if err := b.ws.put(path, text); err != nil {
		return fmt.Errorf("put %s: %w", filepath.Base(path), err)
	}
	return nil
}
