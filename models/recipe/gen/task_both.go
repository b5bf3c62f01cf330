package main

import (
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/tools"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// step is one of two things asked for in one sentence.
type step struct {
	request string                 // as an order, with nothing around it
	tool    string                 // that it needs
	run     func() (string, error) // makes the call and returns what to answer
}

// ordered draws an order of a section and fills it; "" where the section seems to hold
// none, only questions.
func (b *builder) ordered(section string, v slots) string {
	for range 30 {
		if t := b.line(section); t[0] != '?' && t[0] != '!' {
			return strings.TrimSpace(b.fill(t, v))
		}
	}
	return ""
}

// quietStep is a step that runs a command which prints nothing.
func (b *builder) quietStep(request, thought, command, deed string) step {
	return step{request, tools.RunCommand, func() (string, error) {
		r, err := b.command(thought, command)
		if !r.ok {
			return b.commandFailed(r), err
		}
		return deed, err
	}}
}

// step draws one thing to do and lays what it needs.
func (b *builder) step() (step, error) {
	switch b.IntN(7) {
	case 0:
		f := b.plainFile("")
		rec := b.record(1+b.IntN(4), false, ext(f))
		k := one(b.source, rec.keys)
		said := b.sayKey(k)
		return step{b.ordered("read_key", slots{"k": said, "f": f.said}), toolbox.ReadFile, func() (string, error) {
			r, err := b.act(fmt.Sprintf("I read %s to find the %s.", f.path, said), toolbox.ReadFile, "path", f.path)
			return b.keyAnswer(f, rec, k, said, r), err
		}}, b.lay(f, rec.text)
	case 1:
		said, expr := b.expression()
		return step{b.ordered("calc", slots{"e": said}), toolbox.CalculatorTool, func() (string, error) {
			r, err := b.act("I calculate.", toolbox.CalculatorTool, "expression", expr)
			return b.computed(expr, r), err
		}}, nil
	case 2:
		f := b.plainFile("")
		text, said := b.given()
		return step{b.ordered("write", slots{"f": f.said, "t": said}), toolbox.WriteFile, func() (string, error) {
			r, err := b.act(fmt.Sprintf("I write the text to %s.", f.path), toolbox.WriteFile, "path", f.path, "content", text)
			if !r.ok {
				return b.failed("write "+f.path, r), err
			}
			return wrote(f.path, text), err
		}}, nil
	case 3:
		d := b.saidDir(0, true)
		_, err := b.setDir(d, 1+b.IntN(4), false)
		return step{b.ordered("count", slots{"d": d.said}), toolbox.ListFiles, func() (string, error) {
			r, err := b.act(lookInto(d.path), toolbox.ListFiles, "path", d.path)
			if !r.ok {
				return b.failed("list "+d.path, r), err
			}
			files := onlyFiles(entries(r.text))
			b.gist = append(b.gist, fmt.Sprintf("%d file%s", len(files), plural(len(files))))
			return counted(d.path, files), err
		}}, err
	case 4:
		d := b.folder()
		return b.quietStep(b.ordered("mkdir", slots{"g": b.quote(d)}), "I make the folder "+d+".", "mkdir -p "+d, "I made the folder "+d+"."), nil
	case 5:
		f := b.pick(b.base)
		return b.quietStep(b.ordered("touch", slots{"f": b.quote(f)}), "I make the empty file "+f+".", "touch "+f, "I made the empty file "+f+"."), nil
	}
	f, g := b.shellName(""), b.pick(b.base)
	return b.quietStep(b.ordered("copy", slots{"f": f.said, "g": b.quote(g)}), fmt.Sprintf("I copy %s to %s.", f.path, g),
		"cp "+f.path+" "+g, fmt.Sprintf("I copied %s to %s.", f.path, g)), b.lay(f, []string{b.phrase()})
}

// gained runs a step and notes what it brings: what the step noted itself, or else all
// that it answers.
func (b *builder) gained(run func() (string, error)) (string, error) {
	n := len(b.gist)
	deed, err := run()
	if len(b.gist) == n {
		b.gist = append(b.gist, strings.TrimSuffix(deed, "."))
	}
	return deed, err
}

// both: two things asked for in one sentence, done one after the other.
func both(b *builder) error {
	b.clean = true
	first, err := b.step()
	if err != nil {
		return err
	}
	second, err := b.step()
	if err != nil {
		return err
	}
	if first.request == "" || second.request == "" {
		return errTaken
	}
	join := one(b.source, []string{" and then ", ", then ", " and after that ", "; then ", " and also ", ". Then ", ". After that ", ". Also ", " and ", ", and when that is done, "})
	lead := one(b.source, []string{"", "", "", "please ", "first ", "can you ", "I want you to "})
	request := lead + first.request + join + second.request + one(b.source, []string{"", "", ".", ", please", ", thanks"})
	b.benign(b.capital(request), "both")
	b.needs(first.tool, second.tool)
	deed, err := b.gained(first.run)
	if err != nil {
		return err
	}
	other, err := b.gained(second.run)
	if err != nil {
		return err
	}
	b.answer(deed + "\n" + other)
	return nil
}
