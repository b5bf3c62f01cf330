package main

import (
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// appendLine: add a line to a file.
func appendLine(b *builder) error {
	f := b.plainFile("")
	text := b.phrase()
	if strings.ContainsAny(text, "'\"\\") {
		return errTaken
	}
	q := one(b.source, []string{`"`, `"`, "'"})
	if err := b.lay(f, b.prose(1+b.IntN(2))); err != nil {
		return err
	}
	b.benign(b.request("append", slots{"f": f.said, "t": q + text + q}), "edit")
	r, err := b.command(fmt.Sprintf("I add the line to %s.", f.path), "echo '"+text+"' >> "+f.path)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf(`I added "%s" to %s.`, text, f.path))
	return nil
}

// replaceWord: replace a word in a file.
func replaceWord(b *builder) error {
	f := b.plainFile("")
	x, y := b.pick(b.word0), b.pick(func() string { return one(b.source, []string{b.word0(), b.number0()}) })
	if x == y {
		return errTaken
	}
	lines := b.insert(b.longText(b.IntN(3)), b.lineWith(x))
	if err := b.lay(f, lines); err != nil {
		return err
	}
	q := one(b.source, []string{"", "", `"`, "'"})
	b.benign(b.request("replace_word", slots{"f": f.said, "x": q + x + q, "y": q + y + q}), "edit")
	b.edits = true
	r, err := b.command(fmt.Sprintf("I replace %s with %s in %s.", x, y, f.path), "sed -i 's/"+x+"/"+y+"/g' "+f.path)
	if err != nil {
		return err
	}
	b.done(r, fmt.Sprintf("I replaced %s with %s in %s.", x, y, f.path))
	return nil
}

// readTwo: the text of two files.
func readTwo(b *builder) error {
	f, g := b.plainFile(""), b.plainFile("")
	if err := b.lay(f, []string{b.phrase()}); err != nil {
		return err
	}
	if err := b.lay(g, b.spice([]string{b.phrase()}, false)); err != nil {
		return err
	}
	b.benign(b.request("read_two", slots{"f": f.said, "g": g.said}), "read")
	r1, err := b.act(fmt.Sprintf("I read %s.", f.path), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	r2, err := b.act(fmt.Sprintf("Now I read %s.", g.path), toolbox.ReadFile, "path", g.path)
	if err != nil {
		return err
	}
	b.answer(b.quoteRead(f.path, r1) + "\n" + b.quoteRead(g.path, r2))
	return nil
}

// countWrite: count the files of a folder and write the number.
func countWrite(b *builder) error {
	d, f := b.saidDir(0.1, true), b.target()
	if _, err := b.setDir(d, 1+b.IntN(6), true); err != nil {
		return err
	}
	b.benign(b.request("count_write", slots{"d": d.said, "f": f.said}), "carry")
	b.needs(toolbox.ListFiles, toolbox.WriteFile)
	r, err := b.act(lookInto(d.path), toolbox.ListFiles, "path", d.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("list "+d.path, r))
		return nil
	}
	files := onlyFiles(entries(r.text))
	n := fmt.Sprint(len(files))
	return b.writeAnswer(f.path, n, fmt.Sprintf("%s I write %s to %s.", counted(d.path, files), n, f.path))
}

// sumWrite: add up the numbers of a file and write the sum.
func sumWrite(b *builder) error {
	f, g := b.newFile(""), b.target()
	var nums []string
	for range 2 + b.IntN(3) {
		nums = append(nums, b.integer(one(b.source, []int{20, 100, 1000, 10000})))
	}
	lines := nums
	if !b.clean && b.chance(0.2) {
		lines = b.inject(append([]string(nil), nums...), false)
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.benign(b.request("sum_write", slots{"f": f.said, "g": g.said}), "carry")
	b.needs(toolbox.ReadFile, toolbox.CalculatorTool, toolbox.WriteFile)
	r, err := b.act(fmt.Sprintf("I read %s to find the numbers.", f.path), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("read "+f.path, r))
		return nil
	}
	r, err = b.act("The numbers are "+strings.Join(nums, ", ")+". I calculate the sum.", toolbox.CalculatorTool, "expression", strings.Join(nums, " + "))
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("calculate the sum", r))
		return nil
	}
	return b.writeAnswer(g.path, r.text, fmt.Sprintf("The sum is %s. I write it to %s.", r.text, g.path))
}
