package main

import (
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// given draws a text that a user wants written, and how the user quotes it.
func (b *builder) given() (text, said string) {
	switch x := b.Float64(); {
	case x < 0.15:
		text = b.number()
	case x < 0.25:
		text = b.value()
	case x < 0.30:
		text = b.key() + ": " + b.value()
	case x < 0.34:
		text = b.pick(func() string { return b.fill(b.line("near"), nil) + " " + b.word0() })
	case x < 0.42:
		text = b.pick(func() string { return strings.TrimSpace(b.fill(b.line("note"), nil)) })
	case x < 0.46: // an order as a text to write is only a text
		text = b.order().text
	default:
		text = b.phrase()
	}
	q := one(b.source, []string{`"`, `"`, `"`, "'"})
	return text, q + text + q
}

// writeText: write a given text to a named file.
func writeText(b *builder) error {
	f := b.plainFile("")
	text, said := b.given()
	section, v := "write", slots{"f": f.said, "t": said}
	switch x := b.Float64(); {
	case x < 0.15:
		section, v = "write_colon", slots{"f": f.said, "x": text}
	case x < 0.35:
		section = "write_plain"
		text = b.pick(func() string { return one(b.source, []string{b.word0(), b.number0(), b.word0() + " " + b.word0()}) })
		if p := b.phrase(); b.chance(0.3) && !strings.ContainsAny(p, ":,") && !strings.Contains(p, " in ") {
			text = p
		}
		v = slots{"f": f.said, "x": text}
	}
	b.benign(b.request(section, v), "write")
	return b.writeAnswer(f.path, text, fmt.Sprintf("I write the text to %s.", f.path))
}

// writeAnswer makes the call that writes and answers.
func (b *builder) writeAnswer(path, text, thought string) error {
	r, err := b.act(thought, toolbox.WriteFile, "path", path, "content", text)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("write "+path, r))
		return nil
	}
	b.gist = append(b.gist, path) // the text stands in the file
	b.answer(wrote(path, text))
	return nil
}

// wrote is the answer after a text was written.
func wrote(path, text string) string {
	if strings.ContainsAny(text, "\n\"") {
		return fmt.Sprintf("I wrote the text to %s.", path)
	}
	return fmt.Sprintf(`I wrote "%s" to %s.`, text, path)
}

// copyValue: read a value from one file and write it to another.
func copyValue(b *builder) error {
	f, g := b.newFile(""), b.target()
	rec := b.record(1+b.IntN(6), false, ext(f))
	k := one(b.source, rec.keys)
	switch {
	case ext(f) != "json" && b.chance(0.2):
		rec, k = b.sumRecord(b.IntN(5), ext(f))
	case b.chance(0.15):
		k = b.otherKey(rec)
	}
	lines := rec.text
	if ext(f) != "json" && !b.clean && b.chance(0.25) { // the second step must outlive what is withheld
		lines = b.inject(lines, false)
	} else {
		lines = b.spice(lines, ext(f) != "json")
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	said := b.sayKey(k)
	b.benign(b.request("copy_value", slots{"k": said, "f": f.said, "g": g.said}), "copyval")
	b.needs(toolbox.ReadFile, toolbox.WriteFile)
	r, err := b.act(fmt.Sprintf("I read %s to find the %s.", f.path, said), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	seen, found := rec.walk(r.text, k)
	if !r.ok || found == 0 {
		b.answer(b.keyAnswer(f, rec, k, said, r))
		return nil
	}
	v := rec.vals[k]
	return b.writeAnswer(g.path, v, fmt.Sprintf("%s I write %s to %s.", stop(has(f.path, seen)), v, g.path))
}

// copyText: write the text of one file to another.
func copyText(b *builder) error {
	f, g := b.newFile(""), b.plainFile("")
	lines := []string{b.phrase()}
	if b.chance(0.3) {
		lines = b.spice(lines, false)
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.benign(b.request("copy_text", slots{"f": f.said, "g": g.said}), "copyval")
	b.needs(toolbox.ReadFile, toolbox.WriteFile)
	r, err := b.act(fmt.Sprintf("I read %s.", f.path), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	lines = shown(r.text)
	if !r.ok || len(lines) == 0 {
		b.answer(b.quoteRead(f.path, r))
		return nil
	}
	return b.writeAnswer(g.path, strings.Join(lines, "\n"), fmt.Sprintf("I write the text of %s to %s.", f.path, g.path))
}

// overwrite: replace what a file holds; the user must confirm.
func overwrite(b *builder) error {
	f := b.plainFile("")
	text, said := b.given()
	if err := b.file(f.path, []string{b.phrase()}); err != nil {
		return err
	}
	b.ask(b.request("overwrite", slots{"f": f.said, "t": said}), sensitive, b.line("reason.overwrite"))
	return b.writeAnswer(f.path, text, fmt.Sprintf("I write the text to %s.", f.path))
}

// calcWrite: compute and write the result.
func calcWrite(b *builder) error {
	f := b.target()
	said, expr := b.expression()
	b.benign(b.request("calc_write", slots{"e": said, "f": f.said}), "carry")
	b.needs(toolbox.CalculatorTool, toolbox.WriteFile)
	r, err := b.act("I calculate.", toolbox.CalculatorTool, "expression", expr)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("calculate "+expr, r))
		return nil
	}
	return b.writeAnswer(f.path, r.text, fmt.Sprintf("The result is %s. I write it to %s.", r.text, f.path))
}
