package main

import (
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// operand draws a number of an expression.
func (b *builder) operand() string {
	if b.chance(0.12) {
		return b.decimal()
	}
	return b.integer(one(b.source, []int{12, 100, 100, 1000, 10000, 100000}))
}

var spelled = map[string][]string{
	"+": {"+", "+", "plus", "and", "added to"}, "-": {"-", "-", "minus", "less"},
	"*": {"*", "*", "times", "x", "multiplied by"}, "/": {"/", "/", "divided by", "over"},
}

// expression draws an expression as a user says it, and as the calculator reads it.
func (b *builder) expression() (said, expr string) {
	ops := []string{"+", "-", "*", "/"}
	if b.chance(0.12) { // in words
		t, e := cut(one(b.source, []string{
			"the sum of {a} and {b}|{a} + {b}", "the product of {a} and {b}|{a} * {b}", "the difference between {a} and {b}|{a} - {b}",
			"the average of {a} and {b}|({a} + {b}) / 2", "{p} percent of {a}|{a} * {p} / 100", "{p}% of {a}|{a} * {p} / 100", "half of {a}|{a} / 2",
		}))
		r := strings.NewReplacer("{a}", b.operand(), "{b}", b.operand(), "{p}", b.integer(100))
		return r.Replace(t), r.Replace(e)
	}
	if b.chance(0.12) { // with parentheses, as typed
		x, y, z := b.operand(), b.operand(), b.operand()
		o, p := one(b.source, ops), one(b.source, ops)
		expr = "(" + x + " " + o + " " + y + ") " + p + " " + z
		if b.chance(0.5) {
			expr = z + " " + p + " (" + x + " " + o + " " + y + ")"
		}
		if b.chance(0.4) {
			return strings.ReplaceAll(expr, " ", ""), expr
		}
		return expr, expr
	}
	n := one(b.source, []int{1, 1, 1, 2, 3})
	said = b.operand()
	expr = said
	words, tight := b.chance(0.45), b.chance(0.3)
	for range n {
		o, x := one(b.source, ops), b.operand()
		if o == "/" && b.chance(0.04) {
			x = "0"
		}
		w := o
		if words {
			w = one(b.source, spelled[o])
			if w == "and" || w == "added to" { // reads well only alone
				w = "plus"
			}
		}
		expr += " " + o + " " + x
		if tight && !words {
			said += w + x
		} else {
			said += " " + w + " " + x
		}
	}
	return said, expr
}

// computed is the answer after a calculation.
func (b *builder) computed(expr string, r result) string {
	if !r.ok {
		return b.failed("calculate "+expr, r)
	}
	return expr + " = " + r.text
}

// calculate: plain arithmetic.
func calculate(b *builder) error {
	var req, expr string
	if b.chance(0.45) {
		t, e := cut(b.line("calc_word"))
		v := slots{"p": b.integer(100), "w": one(b.source, b.p["word"])}
		for _, k := range []string{"a", "b", "c"} {
			v[k] = b.operand()
		}
		if strings.Contains(t, "people") || strings.Contains(t, "{w}") {
			v["a"], v["b"], v["c"] = b.integer(100), b.integer(1000), b.integer(100)
		}
		req = b.dress(t, v)
		expr = e
		for k, x := range v {
			expr = strings.ReplaceAll(expr, "{"+k+"}", x)
		}
	} else {
		var said string
		said, expr = b.expression()
		req = b.request("calc", slots{"e": said})
	}
	b.benign(req, "calc")
	r, err := b.act("I calculate.", toolbox.CalculatorTool, "expression", expr)
	if err != nil {
		return err
	}
	b.answer(b.computed(expr, r))
	return nil
}

// sumFile: add up, or average, the numbers in a file.
func sumFile(b *builder) error {
	f := b.newFile("")
	n := 2 + b.IntN(4)
	var nums, lines []string
	keyed := b.chance(0.4)
	for range n {
		x := b.integer(one(b.source, []int{20, 100, 1000, 10000}))
		nums = append(nums, x)
		if keyed {
			x = b.word0() + one(b.source, []string{": ", " "}) + x
		}
		lines = append(lines, x)
	}
	if b.chance(0.25) && !keyed { // all on one line
		lines = []string{strings.Join(nums, one(b.source, []string{" ", ", ", "; "}))}
	}
	section, what, expr := "sum_file", "sum", strings.Join(nums, " + ")
	if b.chance(0.25) {
		section, what, expr = "avg_file", "average", fmt.Sprintf("(%s) / %d", expr, n)
	}
	if !b.clean && b.chance(0.2) {
		lines = b.inject(lines, false)
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.benign(b.request(section, slots{"f": f.said}), "calc")
	b.needs(toolbox.ReadFile, toolbox.CalculatorTool)
	r, err := b.act(fmt.Sprintf("I read %s to find the numbers.", f.path), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("read "+f.path, r))
		return nil
	}
	walked := strings.Join(nums, ", ")
	if what == "average" {
		walked = numbered(nums)
	}
	r, err = b.act("The numbers are "+walked+". I calculate the "+what+".", toolbox.CalculatorTool, "expression", expr)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("calculate the "+what, r))
		return nil
	}
	b.answer(fmt.Sprintf("The %s of the numbers in %s is %s.", what, f.path, r.text))
	return nil
}

// twoKeys: compute with, or compare, two values of one file.
func twoKeys(b *builder) error {
	f := b.newFile("")
	rec := b.record(2+b.IntN(4), true, ext(f))
	p := b.Perm(len(rec.keys))
	k, l := rec.keys[p[0]], rec.keys[p[1]]
	sk, sl := b.sayKey(k), b.sayKey(l)
	v := slots{"k": sk, "l": sl, "f": f.said}
	section, compare := "two_keys", b.chance(0.3)
	if compare {
		section = "bigger_key"
	}
	t, op := cut(b.line(section))
	if compare {
		op = "-"
	}
	if !b.clean && b.chance(0.2) {
		rec.text = b.inject(rec.text, false)
	}
	if err := b.lay(f, rec.text); err != nil {
		return err
	}
	b.benign(b.dress(t, v), "calc")
	b.needs(toolbox.ReadFile, toolbox.CalculatorTool)
	named := sk + " " + op + " " + sl
	r, err := b.act(fmt.Sprintf("I read %s to find %s.", f.path, named), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("read "+f.path, r))
		return nil
	}
	x, y := rec.vals[k], rec.vals[l]
	seen, _ := rec.walk(r.text, k, l)
	thought := fmt.Sprintf("%s I calculate %s.", stop(has(f.path, seen)), named)
	r, err = b.act(thought, toolbox.CalculatorTool, "expression", x+" "+op+" "+y)
	if err != nil {
		return err
	}
	if compare {
		b.answer(b.larger(sk, sl, x, y, r))
	} else {
		b.answer(b.computed(x+" "+op+" "+y, r))
	}
	return nil
}

// larger is the answer that compares x and y by their difference.
func (b *builder) larger(k, l, x, y string, r result) string {
	switch {
	case !r.ok:
		return b.failed("calculate "+x+" - "+y, r)
	case r.text == "0":
		return fmt.Sprintf("%s - %s = 0: they are equal.", x, y)
	case strings.HasPrefix(r.text, "-"):
		return fmt.Sprintf("%s - %s = %s: %s is larger.", x, y, r.text, l)
	}
	return fmt.Sprintf("%s - %s = %s: %s is larger.", x, y, r.text, k)
}

// twoFiles: compute with, or compare, the same key of two files.
func twoFiles(b *builder) error {
	f, g := b.plainFile(""), b.plainFile("")
	r1, r2 := b.record(1+b.IntN(3), true, ext(f)), b.record(1+b.IntN(3), true, ext(g))
	k := one(b.source, r1.keys)
	if r2.lines[k] == "" { // give the second file the key, with a number of its own
		x := b.integer(1000)
		l := k + ": " + x
		if ext(g) == "json" {
			return errTaken
		}
		r2.note(k, x, k, l)
		r2.text = b.insert(r2.text, l)
	}
	t, op := cut(b.line("two_files"))
	if err := b.lay(f, r1.text); err != nil {
		return err
	}
	if err := b.lay(g, r2.text); err != nil {
		return err
	}
	said := b.sayKey(k)
	b.benign(b.dress(t, slots{"k": said, "f": f.said, "g": g.said}), "calc")
	b.needs(toolbox.ReadFile, toolbox.CalculatorTool)
	r, err := b.act(fmt.Sprintf("I read %s to find the %s.", f.path, said), toolbox.ReadFile, "path", f.path)
	if err != nil || !r.ok {
		b.answer(b.failed("read "+f.path, r))
		return err
	}
	seen, _ := r1.walk(r.text, k)
	r, err = b.act(fmt.Sprintf("%s Now I read %s.", stop(has(f.path, seen)), g.path), toolbox.ReadFile, "path", g.path)
	if err != nil || !r.ok {
		b.answer(b.failed("read "+g.path, r))
		return err
	}
	x, y := r1.vals[k], r2.vals[k]
	seen, _ = r2.walk(r.text, k)
	r, err = b.act(stop(has(g.path, seen))+" I calculate.", toolbox.CalculatorTool, "expression", x+" "+op+" "+y)
	if err != nil {
		return err
	}
	if op == "-" {
		b.answer(b.larger(f.path, g.path, x, y, r))
	} else {
		b.answer(b.computed(x+" "+op+" "+y, r))
	}
	return nil
}
