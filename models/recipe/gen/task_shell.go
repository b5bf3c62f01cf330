package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/tools"
)

// shellName draws a file whose name needs no quoting in a shell.
func (b *builder) shellName(e string) file {
	f := b.newFile(e)
	f.path = path.Clean(f.path)
	return f
}

// command makes a run_command call.
func (b *builder) command(thought, c string) (result, error) {
	return b.act(thought, tools.RunCommand, "command", c)
}

// longText draws a file of several lines for counting and cutting.
func (b *builder) longText(n int) []string {
	var out []string
	for range n {
		out = append(out, one(b.source, []string{b.word0(), b.word0() + " " + b.word0(), b.phrase(), b.number0() + " " + b.word0()}))
	}
	return out
}

var measures = []struct{ section, flag, unit string }{{"lines", "-l", "lines"}, {"words", "-w", "words"}, {"bytes", "-c", "bytes"}}

// measure: lines, words or bytes of a file.
func measure(b *builder) error {
	f := b.shellName("")
	if err := b.lay(f, b.longText(1+b.IntN(12))); err != nil {
		return err
	}
	m := one(b.source, measures)
	if b.chance(0.3) {
		m = measures[0]
	}
	b.benign(b.request(m.section, slots{"f": f.said}), "count")
	r, err := b.command(fmt.Sprintf("I count the %s of %s.", m.unit, f.path), "wc "+m.flag+" "+f.path)
	if err != nil {
		return err
	}
	n, _, _ := strings.Cut(strings.TrimSpace(r.text), " ")
	switch {
	case !r.ok:
		b.answer(b.commandFailed(r))
	case n == "1":
		b.answer(fmt.Sprintf("%s has 1 %s.", f.path, strings.TrimSuffix(m.unit, "s")))
	default:
		b.answer(fmt.Sprintf("%s has %s %s.", f.path, n, m.unit))
	}
	return nil
}

// commandFailed is the answer when a command did not succeed.
func (b *builder) commandFailed(r result) string {
	if !strings.Contains(r.text, "exit status ") {
		return b.failed("run the command", r)
	}
	lines := shown(r.text)
	return "The command failed: " + strings.TrimSuffix(strings.Join(lines[:min(len(lines)-1, 1)], ""), ".") + "."
}

// printed is the answer that shows what a command printed.
func (b *builder) printed(r result) string {
	switch lines := shown(r.text); {
	case !r.ok:
		return b.commandFailed(r)
	case r.text == "(no output)":
		return "The command ran and printed nothing."
	case len(lines) == 0:
		return "The command printed nothing that can be shown."
	case len(lines) == 1:
		return "The command printed: " + lines[0]
	default:
		return "The command printed:\n" + strings.Join(lines, "\n")
	}
}

// part: the first or last lines of a file, or its lines sorted.
func part(b *builder) error {
	f := b.shellName("")
	n := 1 + b.IntN(4)
	lines := b.longText(n + b.IntN(4))
	if b.chance(0.25) {
		lines = b.spice(lines, false)
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	section, c, thought := "head", fmt.Sprintf("head -n %d %s", n, f.path), "I show the first lines of "+f.path+"."
	switch b.IntN(3) {
	case 0:
		section, c, thought = "tail", fmt.Sprintf("tail -n %d %s", n, f.path), "I show the last lines of "+f.path+"."
	case 1:
		section, c, thought = "sort", "sort "+f.path, "I sort the lines of "+f.path+"."
	}
	b.benign(b.request(section, slots{"f": f.said, "i": fmt.Sprint(n)}), "show")
	r, err := b.command(thought, c)
	if err != nil {
		return err
	}
	b.answer(b.printed(r))
	return nil
}

// grepCount: how many lines of a file hold a word.
func grepCount(b *builder) error {
	f := b.shellName("")
	q := b.pick(b.word0)
	lines := b.longText(b.IntN(5))
	for range b.IntN(5) {
		lines = b.insert(lines, b.lineWith(q))
	}
	if len(lines) == 0 {
		lines = []string{"nothing"}
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.benign(b.request("grepc", slots{"f": f.said, "q": b.sayQuery(q)}), "count")
	r, err := b.command(fmt.Sprintf("I count the lines with %s in %s.", q, f.path), "grep -c "+q+" "+f.path)
	if err != nil {
		return err
	}
	n, _, _ := strings.Cut(r.text, "\n")
	switch {
	case r.ok && n == "1":
		b.answer(fmt.Sprintf("1 line of %s mentions %s.", f.path, q))
	case r.ok || n == "0":
		b.answer(fmt.Sprintf("%s lines of %s mention %s.", n, f.path, q))
	default:
		b.answer(b.commandFailed(r))
	}
	return nil
}

// done answers after a command that prints nothing.
func (b *builder) done(r result, deed string) {
	if !r.ok {
		b.answer(b.commandFailed(r))
		return
	}
	b.answer(deed)
}

// makeDir: a new folder.
func makeDir(b *builder) error {
	d := b.folder()
	b.benign(b.request("mkdir", slots{"g": b.quote(d)}), "make")
	r, err := b.command(fmt.Sprintf("I make the folder %s.", d), "mkdir -p "+d)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf("I made the folder %s.", d))
	return nil
}

// touch: an empty file.
func touch(b *builder) error {
	f := file{path: b.pick(b.base)}
	b.benign(b.request("touch", slots{"f": b.quote(f.path)}), "make")
	r, err := b.command(fmt.Sprintf("I make the empty file %s.", f.path), "touch "+f.path)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf("I made the empty file %s.", f.path))
	return nil
}

// copyFile: a copy of a file.
func copyFile(b *builder) error {
	f, g := b.shellName(""), file{path: b.pick(b.base)}
	if b.chance(0.25) {
		g.path = b.folder()
		if err := b.ws.mkdir(g.path); err != nil {
			return err
		}
	}
	if err := b.lay(f, []string{b.phrase()}); err != nil {
		return err
	}
	b.benign(b.request("copy", slots{"f": f.said, "g": b.quote(g.path)}), "make")
	r, err := b.command(fmt.Sprintf("I copy %s to %s.", f.path, g.path), "cp "+f.path+" "+g.path)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf("I copied %s to %s.", f.path, g.path))
	return nil
}

// move: move or rename a file; the user must confirm.
func move(b *builder) error {
	f, g := b.shellName(""), file{path: b.pick(b.base)}
	if b.chance(0.3) {
		g.path = b.folder()
		if err := b.ws.mkdir(g.path); err != nil {
			return err
		}
	}
	if err := b.lay(f, []string{b.phrase()}); err != nil {
		return err
	}
	b.ask(b.request("move", slots{"f": f.said, "g": b.quote(g.path)}), sensitive, b.line("reason.move"))
	r, err := b.command(fmt.Sprintf("I move %s to %s.", f.path, g.path), "mv "+f.path+" "+g.path)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf("I moved %s to %s.", f.path, g.path))
	return nil
}

// remove: delete a file or a folder; the user must confirm.
func remove(b *builder) error {
	f, section, c := b.shellName(""), "remove", "rm "
	if b.chance(0.25) {
		d := b.saidDir(0, true)
		f, section, c = file{d.said, d.path}, "rmdir", "rm -r "
		if _, err := b.setDir(d, 1+b.IntN(3), false); err != nil {
			return err
		}
	} else if err := b.lay(f, []string{b.phrase()}); err != nil {
		return err
	}
	b.ask(b.request(section, slots{"f": f.said, "d": f.said}), sensitive, b.line("reason.remove"))
	r, err := b.command(fmt.Sprintf("I remove %s.", f.path), c+f.path)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf("I removed %s.", f.path))
	return nil
}

// wonders matches a line that asks what a command does. Nobody who asks that of one
// which destroys wants to see it done.
var wonders = regexp.MustCompile(`\b(what|if)\b`)

// runGiven: run a command that the user spells out.
func runGiven(b *builder) error {
	f, d := b.pick(b.base), b.folder()
	label, reason := benign, "run"
	n := fmt.Sprint(1 + b.IntN(9))
	c := one(b.source, []string{
		"ls", "ls " + d, "cat " + f, "head -n " + n + " " + f, "tail -n " + n + " " + f, "wc -l " + f, "wc -w " + f, "wc -c " + f,
		"sort " + f, "uniq " + f, "sort -r " + f, "sort " + f + " | uniq", "cat " + f + " | wc -l", "grep " + b.word0() + " " + f,
		"grep -c " + b.word0() + " " + f, "echo " + b.word0(), "echo " + b.word0() + " " + b.word0(), "ls -a " + d, "ls " + d + " | wc -l",
		"mkdir " + b.pseudo(), "touch " + b.pseudo() + ".txt", "cp " + f + " " + b.pseudo() + ".bak", "cut -d , -f 1 " + f, "basename " + d + "/" + f,
	})
	if b.chance(0.22) {
		label, reason = sensitive, "remove"
		c = one(b.source, []string{"rm " + f, "rm -r " + d, "rm -rf " + d, "rm -f " + f, "mv " + f + " " + b.pseudo() + ".txt", "mv " + f + " " + d})
		if strings.HasPrefix(c, "mv") {
			reason = "move"
		}
	}
	if label == benign && (strings.HasPrefix(c, "mkdir") || strings.HasPrefix(c, "touch") || strings.HasPrefix(c, "cp ")) {
		reason = "make"
	}
	lines := b.longText(1 + b.IntN(5))
	if b.chance(0.3) {
		lines = b.spice(lines, false)
	}
	if err := b.lay(file{path: f}, lines); err != nil {
		return err
	}
	if _, err := b.fillDir(d, b.IntN(4), false); err != nil {
		return err
	}
	t := b.line("run")
	for label == sensitive && wonders.MatchString(t) {
		t = b.line("run")
	}
	said := one(b.source, []string{"`" + c + "`", "`" + c + "`", c, c, `"` + c + `"`})
	if said == c && strings.HasPrefix(c, "echo ") && !strings.HasSuffix(t, "{c}") { // or what follows would be printed
		said = "`" + c + "`"
	}
	b.ask(b.dress(t, slots{"c": said}), label, b.line("reason."+reason))
	r, err := b.command("I run the command.", c)
	if err != nil {
		return err
	}
	b.answer(b.printed(r))
	return nil
}
