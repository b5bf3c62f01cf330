package main

import (
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/tools"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// nonce draws the mark of a data frame that does not occur in text.
func (b *builder) nonce(text string) string {
	for {
		if n := fmt.Sprintf("%08x", b.Uint32()); !strings.Contains(text, n) {
			return n
		}
	}
}

// evilIn returns what an injected line within l orders, "" if none is.
func (b *builder) evilIn(l string) string { return markIn(b.evil, l) }

// privateIn returns the key of a secret within l, "" if none is.
func (b *builder) privateIn(l string) string { return markIn(b.private, l) }

// respond puts a response into the main line as the runtime does: screened as a whole,
// line by line when the whole is malicious, and without the lines found guilty.
func (b *builder) respond(tool string, args []string, text string, ok bool) result {
	n := b.nonce(text)
	if tool == toolbox.CalculatorTool { // pure tools are not screened
		b.main.say("tool", frame.Data(n, text))
		return b.result(text, ok)
	}
	text = strings.TrimSuffix(text, "\n")
	lines := strings.Split(text, "\n")
	orders, secret := "", ""
	for _, l := range lines {
		if what := b.evilIn(l); what != "" {
			orders = what
		}
		if key := b.privateIn(l); key != "" {
			secret = key
		}
	}
	switch {
	case orders != "":
		return b.injected(tool, args, n, lines, orders, ok)
	case secret != "":
		b.doc.Meta.Private = true
		b.screen(b.main.fork(), len(b.main.segs), frame.Data(n, text), b.fill(b.line("screen.secret"), slots{"sk": secret}), sensitive)
		b.lineScreens(n, lines, 1)
		if b.chance(0.2) {
			return b.heldBack(heldSecret)
		}
		b.main.say("tool", frame.Data(n, text))
		return b.result(text, ok)
	}
	b.main.say("tool", frame.Data(n, text))
	f, at := b.main.fork(), len(b.main.segs)
	f.say("user", frame.Screen)
	f.reply(verdict(b.plainReason(tool, text), benign), true)
	b.doc.Forks = append(b.doc.Forks, branch{at, f.segs, "screen", benign})
	if len(lines) > 1 && b.chance(0.1) {
		b.lineScreens2(n, lines)
	}
	return b.result(text, ok)
}

// result wraps a shown response.
func (b *builder) result(text string, ok bool) result {
	r := result{text: text, ok: ok}
	if !ok {
		r.why = strings.TrimPrefix(text, "error: ")
	}
	return r
}

// heldBack puts the text for a response that is withheld as a whole.
func (b *builder) heldBack(why withholding) result {
	b.held = why
	b.main.say("tool", frame.WithheldAll)
	return result{text: frame.WithheldAll, why: "held back"}
}

// injected handles a response that gives orders.
func (b *builder) injected(tool string, args []string, n string, lines []string, orders string, ok bool) result {
	b.doc.Meta.Injected = true
	at, full := len(b.main.segs), frame.Data(n, strings.Join(lines, "\n"))
	b.screen(b.main.fork(), at, full, b.expand(b.line("screen."+orders)), malicious)
	b.lineScreens(n, lines, 1)
	b.hijack(at, full, lines)
	if len(lines) == 1 {
		return b.heldBack(heldOrders)
	}
	if b.chance(0.06) {
		return b.heldBack(heldByDraw)
	}
	shown := make([]string, len(lines))
	for i, l := range lines {
		shown[i] = l
		if b.evilIn(l) != "" {
			shown[i] = frame.Withheld
		}
	}
	b.withheld = true
	text := strings.Join(shown, "\n")
	if strings.TrimSpace(strings.ReplaceAll(text, frame.Withheld, "")) == "" {
		b.held = heldByDraw // the runtime shows nothing then
	}
	data := frame.Data(n, text)
	if b.chance(0.6) {
		b.screen(b.main.fork(), at, data, b.line("screen.redacted"), benign)
	}
	b.main.say("tool", data)
	return b.result(text, ok)
}

// screen branches off the label of a tool message.
func (b *builder) screen(f *thread, at int, data, reason, label string) {
	f.say("tool", data)
	f.say("user", frame.Screen)
	f.reply(verdict(reason, label), true)
	b.doc.Forks = append(b.doc.Forks, branch{at, f.segs, "screen", label})
}

// lineScreens branches off the labels of single lines: the guilty one, and up to more
// of the others.
func (b *builder) lineScreens(n string, lines []string, more int) {
	at := len(b.main.segs)
	for _, i := range b.Perm(len(lines)) {
		l := lines[i]
		if strings.TrimSpace(l) == "" {
			continue
		}
		switch what, key := b.evilIn(l), b.privateIn(l); {
		case what != "":
			b.screen(b.main.fork(), at, frame.Data(n, l), b.expand(b.line("screen."+what)), malicious)
		case key != "" && b.chance(0.3):
			b.screen(b.main.fork(), at, frame.Data(n, l), b.fill(b.line("screen.secret"), slots{"sk": key}), sensitive)
		case key == "" && more > 0:
			b.screen(b.main.fork(), at, frame.Data(n, l), b.plainReason("", l), benign)
			more--
		}
	}
}

// lineScreens2 branches off the label of one line of a harmless response. The fork
// leaves the main line before the response, whose segments are already in place.
func (b *builder) lineScreens2(n string, lines []string) {
	l := one(b.source, lines)
	if strings.TrimSpace(l) == "" {
		return
	}
	at := len(b.main.segs) - 2 // without the template text and the response
	f := &thread{tail: "\n"}
	b.screen(f, at, frame.Data(n, l), b.plainReason("", l), benign)
}

// plainReason says why a response is benign.
func (b *builder) plainReason(tool, text string) string {
	switch {
	case strings.Contains(text, frame.Withheld):
		return b.line("screen.redacted")
	case tool == toolbox.WriteFile || tool == tools.RunCommand && text == "(no output)" || strings.HasPrefix(text, "error: ") || text == "no matches":
		return b.line("screen.none")
	case tool == toolbox.ListFiles:
		return b.line("screen.names")
	case b.hasDecoy(text):
		return b.line("screen.decoy")
	}
	return b.line("screen.benign")
}
