package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// Classes of the page's style.
var (
	outcomeClass = map[agent.Outcome]string{agent.Allow: "good", agent.Ask: "warn", agent.Deny: "bad"}
	labelClass   = map[agent.Label]string{agent.Benign: "good", agent.Sensitive: "warn"}
)

// item renders one event, false for those that a reader does not miss.
func (b *pageBuilder) item(e agent.Event) (pageItem, bool) {
	switch x := e.Body.(type) {
	case *agent.Said:
		return b.said(x), true
	case *agent.GenStart:
		b.gens[e.Seq] = x.Purpose
		return pageItem{}, false
	case *agent.GenEnd:
		return b.generated(e, x), true
	case *agent.Turned:
		it := pageItem{Kind: "turn", Badge: string(x.Parse), BadgeClass: "good", Text: b.text(x.Thought)}
		if x.Parse != agent.ParseClean {
			it.BadgeClass = "warn"
		}
		if x.By != "" {
			it.Head = "a call that the " + inert(x.By) + " put in the place of the model's"
		}
		if x.Answer != nil {
			it.More = append(it.More, fact{"answer", b.text(x.Answer)})
		}
		return it, true
	case *agent.Labelled:
		it := pageItem{Kind: "label", Head: x.Channel.String(), Badge: x.Value.String(), BadgeClass: orBad(labelClass[x.Value]),
			Probs: bars(x.P), Text: b.text(x.Reason)}
		if x.Withheld > 0 {
			it.Notes = append(it.Notes, fmt.Sprintf("%s kept from the model", count(x.Withheld, "part")))
		}
		return it, true
	case *agent.Judged:
		return b.judged(e, x), true
	case *agent.Decided:
		return b.decided(e, x), true
	case *agent.CallEnd:
		return b.ended(e, x), true
	}
	return b.rest(e)
}

// rest renders the events that are a line.
func (b *pageBuilder) rest(e agent.Event) (pageItem, bool) {
	switch x := e.Body.(type) {
	case *agent.Authorised:
		return pageItem{Kind: "plan", Head: inert(effects(x.Tools))}, true
	case *agent.Tainted:
		return pageItem{Kind: "taint", Badge: x.Value.String(), BadgeClass: map[agent.Taint]string{agent.TaintClean: "good", agent.TaintUntrusted: "warn", agent.TaintMalicious: "bad"}[x.Value]}, true
	case *agent.Asked:
		return pageItem{Kind: "question", Head: "about the " + inert(x.About)}, true
	case *agent.Answered:
		return pageItem{Kind: "answer", Badge: x.Choice.String(), BadgeClass: "warn", Head: inert(fmt.Sprintf("by %s, %s", orNobody(x.Who), x.Via)),
			Text: b.text(x.Note), More: unfold("what was shown", b.text(x.Shown))}, true
	case *agent.CallStart:
		return pageItem{Kind: "start", More: unfold("plan of the cell", b.text(x.Plan))}, true
	case *agent.CallReady:
		return pageItem{Kind: "cell", Badge: "attested", BadgeClass: "good", Head: inert(strings.Join(x.Degraded, ", ")),
			More: unfold("attestation", b.text(x.Attestation))}, true
	case *agent.LimitHit:
		return pageItem{Kind: "limit", Badge: inert(x.Which), BadgeClass: "warn", Head: fmt.Sprint(x.Value)}, true
	case *agent.RunRecover:
		return pageItem{Kind: "resumed", Head: fmt.Sprintf("after event %d", x.Last), Notes: []string{fmt.Sprintf("%s of unknown outcome", count(len(x.Unknown), "call"))}}, true
	case *agent.RunEnd:
		cls := "warn"
		if x.Status == agent.StatusDone {
			cls = "good"
		}
		return pageItem{Kind: "end", Badge: string(x.Status), BadgeClass: cls, Text: b.text(x.Answer) + b.text(x.Error)}, true
	case *agent.Redacted:
		return pageItem{Kind: "redacted", Head: inert(fmt.Sprintf("%s by %s", count(len(x.Digests), "text"), x.Who)), Text: b.text(x.Reason)}, true
	case *agent.Scored:
		return pageItem{Kind: "score", Head: inert(fmt.Sprintf("%s = %g by %s", x.Name, x.Value, x.Source))}, true
	case *agent.Failed:
		return pageItem{Kind: "error", Badge: inert(x.Where), BadgeClass: "bad", Text: b.text(x.Text)}, true
	}
	return pageItem{}, false
}

func orBad(class string) string {
	if class == "" {
		return "bad"
	}
	return class
}

func unfold(name, text string) []fact {
	if text == "" {
		return nil
	}
	return []fact{{name, text}}
}

func bars(p agent.LabelProbs) []fact {
	if !p.Known() {
		return nil
	}
	var out []fact
	for i, l := range agent.Labels {
		out = append(out, fact{l.String(), fmt.Sprintf("%.3f", p[i])})
	}
	return out
}

func (b *pageBuilder) said(x *agent.Said) pageItem {
	it := pageItem{Kind: string(x.Role), Badge: inert(theOrigin(x.Origin)), BadgeClass: "warn"}
	if x.Origin.Trusted() {
		it.BadgeClass = "good"
	}
	if x.Copied {
		it.Head = "copied from the run it branched off"
	}
	if x.Role == agent.System {
		it.More = unfold("text", b.text(x.Text))
		return it
	}
	it.Text = b.text(x.Text)
	return it
}

func (b *pageBuilder) judged(e agent.Event, x *agent.Judged) pageItem {
	it := pageItem{Kind: "verdict", Badge: x.Outcome.String(), BadgeClass: orBad(outcomeClass[x.Outcome]),
		Head: inert(fmt.Sprintf("%s, by %s", x.Label, x.By)), Text: b.text(x.Reason), Probs: bars(x.P)}
	for _, v := range x.Votes {
		it.Notes = append(it.Notes, inert(fmt.Sprintf("rule %s: %s: %s", v.Rule, v.Outcome, v.Reason)))
	}
	b.sinks[e.Call] = sinksOf(x)
	for _, s := range b.sinks[e.Call] {
		class := "warn"
		if s.Origin.Trusted() {
			class = "good"
		}
		it.Args = append(it.Args, pageArg{inert(s.Arg), inert(s.Value), inert("from " + theOrigin(s.Origin)), class})
	}
	return it
}

func (b *pageBuilder) decided(e agent.Event, x *agent.Decided) pageItem {
	var c agent.ToolCall
	_ = json.Unmarshal([]byte(x.Call.String()), &c) // an erased one shows empty
	b.calls[e.Seq] = c
	it := pageItem{Kind: "call", Head: inert(x.Tool), Badge: x.Outcome.String(), BadgeClass: orBad(outcomeClass[x.Outcome]),
		Notes: []string{inert("decided by " + x.By + grants(x.Grant))}, Args: args(c.Args, b.sinks[e.Call])}
	if path, text, ok := written(c); ok {
		it.Diff = diff(b.files[path], text)
	}
	return it
}

// written is what a call writes to a file.
func written(c agent.ToolCall) (path, text string, ok bool) {
	if c.Tool != toolbox.WriteFile {
		return "", "", false
	}
	var a struct{ Path, Content string }
	if json.Unmarshal([]byte(c.Args), &a) != nil {
		return "", "", false
	}
	return a.Path, a.Content, true
}

func (b *pageBuilder) ended(e agent.Event, x *agent.CallEnd) pageItem {
	cls := "good"
	if x.Status != agent.CallOK {
		cls = "bad"
	}
	c := b.calls[e.Ref]
	if path, text, ok := written(c); ok && x.Status == agent.CallOK {
		b.files[path] = text
	}
	if c.Tool == toolbox.ReadFile && x.Status == agent.CallOK {
		var a struct{ Path string }
		if json.Unmarshal([]byte(c.Args), &a) == nil {
			b.files[a.Path] = x.Out.String()
		}
	}
	return pageItem{Kind: "result", Badge: string(x.Status), BadgeClass: cls, Head: fmt.Sprintf("in %.1f ms", float64(x.US)/1000),
		Text: b.text(x.Out), Notes: nonEmpty(inert(x.Code)), More: unfold("the sandbox's account", b.text(x.Sandbox))}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// generated shows a generation token by token, the less likely the redder.
func (b *pageBuilder) generated(e agent.Event, x *agent.GenEnd) pageItem {
	it := pageItem{Kind: "generated", Head: string(b.gens[e.Ref]), Text: b.text(x.Error)}
	if x.Error != nil {
		it.Badge, it.BadgeClass = "error", "bad"
		return it
	}
	if x.Told != nil {
		it.Notes, it.Text = []string{toldWords(x.Told)}, b.text(x.Text)
		return it
	}
	note := fmt.Sprintf("%d sampled, prompt of %d tokens, %d of them read anew", x.N, x.Cached+x.Evaluated, x.Evaluated)
	if p, ok := meanProbability(x); ok {
		note += fmt.Sprintf(", mean probability %.3f", p)
	}
	it.Notes = []string{note}
	it.Open = b.gens[e.Ref] == agent.PurposeAgent
	raw, sampled := floats(x.Raw), floats(x.Sampled)
	for i, id := range ints(x.IDs) {
		t := pageToken{Text: b.token(id), Title: fmt.Sprintf("token %d", id), Class: "p7"}
		if i < len(raw) && i < len(sampled) {
			p := math.Exp(float64(raw[i]))
			t.Class = tokenClass(p)
			t.Title += fmt.Sprintf(", p %.4f, as sampled %.4f", p, math.Exp(float64(sampled[i])))
		}
		if x.Forced != nil && i/8 < len(x.Forced.Data) && x.Forced.Data[i/8]>>(i%8)&1 == 1 {
			t.Class, t.Title = "p7 forced", t.Title+", the grammar left no other"
		}
		it.Tokens = append(it.Tokens, t)
	}
	if it.Tokens == nil && x.Text != nil {
		it.More = unfold("text", b.text(x.Text))
	}
	if prompt := ints(x.Prompt); len(prompt) > 0 && b.piece != nil {
		var s strings.Builder
		for _, id := range prompt {
			s.WriteString(b.piece(id))
		}
		it.More = append(it.More, fact{"the whole prompt", inert(strings.ToValidUTF8(s.String(), "\ufffd"))})
	}
	return it
}

func (b *pageBuilder) token(id int32) string {
	if b.piece != nil {
		if s := b.piece(id); s != "" {
			return inert(strings.ToValidUTF8(s, "\ufffd"))
		}
	}
	return fmt.Sprintf("#%d ", id)
}

// tokenClass sorts probabilities into the classes of the page's style.
func tokenClass(p float64) string {
	for i, most := range []float64{0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9} {
		if p < most {
			return fmt.Sprintf("p%d", i)
		}
	}
	return "p7"
}

func ints(b *agent.Blob) []int32 {
	if b == nil {
		return nil
	}
	out := make([]int32, len(b.Data)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b.Data[4*i:]))
	}
	return out
}

// maxDiffLines bounds the table of a comparison.
const maxDiffLines = 500

// diff compares two texts line by line: the longest common part stays.
func diff(old, new string) []pageToken {
	a, b := lines(old), lines(new)
	if len(a) > maxDiffLines || len(b) > maxDiffLines {
		return []pageToken{{Text: fmt.Sprintf("%d lines become %d", len(a), len(b))}}
	}
	long := make([][]int, len(a)+1) // of the common part of a[i:] and b[j:]
	for i := range long {
		long[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				long[i][j] = long[i+1][j+1] + 1
			} else {
				long[i][j] = max(long[i+1][j], long[i][j+1])
			}
		}
	}
	var out []pageToken
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, pageToken{Text: "  " + inert(a[i])})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || long[i+1][j] >= long[i][j+1]):
			out = append(out, pageToken{Text: "- " + inert(a[i]), Class: "del"})
			i++
		default:
			out = append(out, pageToken{Text: "+ " + inert(b[j]), Class: "add"})
			j++
		}
	}
	return out
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}
