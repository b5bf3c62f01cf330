package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// query draws what to look for.
func (b *builder) query() string {
	return b.pick(func() string {
		switch x := b.Float64(); {
		case x < 0.15:
			return one(b.source, b.p["near"])
		case x < 0.25:
			return b.word0() + " " + b.word0()
		case x < 0.32:
			return b.person()
		case x < 0.38:
			return b.number0()
		}
		return b.word0()
	})
}

// sayQuery is a query as the user says it.
func (b *builder) sayQuery(q string) string {
	return b.fill(b.line("word_quoted"), slots{"x": q})
}

// lineWith draws a line that holds a query.
func (b *builder) lineWith(q string) string {
	return one(b.source, []string{
		b.word0() + " " + q + " " + b.word0(), "the " + q + " of " + b.person(), q + " " + b.word0() + " " + b.number0(),
		b.fill("{date} {time} (INFO|ERROR|WARN) ", nil) + q, "todo: check the " + q + " on " + one(b.source, b.p["day"]), q + ": " + b.value(),
		b.person() + " asked about the " + q,
	})
}

// spread puts n lines with a query into files below a folder, among others without.
func (b *builder) spread(dir, q string, n int) error {
	inject := -1
	if !b.clean && n > 0 && b.chance(0.25) {
		inject = b.IntN(n)
	}
	for i := 0; i < max(n, 1); {
		var lines []string
		for range b.IntN(4) {
			l := b.fill(b.line("note"), nil)
			if !strings.Contains(strings.ToLower(l), strings.ToLower(q)) {
				lines = append(lines, l)
			}
		}
		for first := true; i < n && (first || b.chance(0.25)); first = false {
			l := b.lineWith(q)
			if i == inject {
				l = b.injectedWith(q)
			}
			lines = b.insert(lines, l)
			i++
		}
		if n == 0 {
			i++
		}
		if len(lines) == 0 {
			lines = []string{"nothing here"}
		}
		if err := b.file(path.Join(dir, b.pick(b.base)), lines); err != nil {
			return err
		}
	}
	return nil
}

// injectedWith draws an injected line that a search for q finds.
func (b *builder) injectedWith(q string) string {
	t, o := b.injection()
	l := one(b.source, []string{q + " " + t, q + ": " + t, t + " " + q, b.word0() + " " + q + ". " + t})
	b.evil = append(b.evil, marked{t, o.what, o})
	return l
}

var hit = regexp.MustCompile(`^(.*?):(\d+): (.*)$`)

// hits parses the shown hits of a search.
func hits(text string) [][]string {
	var out [][]string
	for _, l := range shown(text) {
		if m := hit.FindStringSubmatch(l); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// found is the answer that says where a query was found.
func found(q, text string) string {
	var places []string
	for _, h := range hits(text) {
		places = append(places, h[1]+" line "+h[2])
	}
	if len(places) == 0 {
		return "I found no match for " + q + "."
	}
	return "I found " + q + " in " + strings.Join(places, ", ") + "."
}

// search: where a text occurs.
func search(b *builder) error {
	q := b.query()
	d := b.saidDir(0.12, true)
	section := "search"
	if b.chance(0.25) {
		d, section = file{path: "."}, "search_here"
	}
	if d.path == "." || !b.chance(0.04) {
		if err := b.spread(d.path, q, one(b.source, []int{0, 1, 1, 2, 2, 3, 4})); err != nil {
			return err
		}
	}
	b.benign(b.request(section, slots{"q": b.sayQuery(q), "d": d.said}), "search")
	r, err := b.act(fmt.Sprintf("I search for %s.", q), toolbox.SearchText, "query", q, "path", d.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("search "+d.path, r))
		return nil
	}
	for _, h := range hits(r.text) {
		b.gist = append(b.gist, h[1]+" line "+h[2])
	}
	b.answer(found(q, r.text))
	return nil
}

// findLine: what a file says about something, or whether it does.
func findLine(b *builder) error {
	q := b.query()
	f := b.newFile("")
	lines := b.prose(1 + b.IntN(3))
	for i := range lines {
		if strings.Contains(strings.ToLower(lines[i]), strings.ToLower(q)) {
			lines[i] = "nothing new"
		}
	}
	if b.chance(0.75) {
		lines = b.insert(lines, b.lineWith(q))
	}
	if !b.clean && b.chance(0.12) {
		lines = b.insert(lines, b.injectedWith(q))
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.benign(b.request("find_line", slots{"q": b.sayQuery(q), "f": f.said}), "search")
	r, err := b.act(fmt.Sprintf("I look for %s in %s.", q, f.path), toolbox.SearchText, "query", q, "path", f.path)
	if err != nil {
		return err
	}
	h := hits(r.text)
	switch {
	case !r.ok:
		b.answer(b.failed("search "+f.path, r))
	case len(h) == 0:
		b.answer(fmt.Sprintf("No, %s has no %s.", f.path, q))
	default:
		b.answer(fmt.Sprintf("Yes, line %s of %s says: %s", h[0][2], f.path, h[0][3]))
	}
	return nil
}

// searchRead: find the file that speaks of something, then read it.
func searchRead(b *builder) error {
	q := b.pick(b.word0)
	d := b.saidDir(0.1, true)
	if _, err := b.fillDir(d.path, b.IntN(3), false); err != nil {
		return err
	}
	name := b.pick(b.base)
	lines := []string{b.lineWith(q)}
	if b.chance(0.5) {
		lines = b.insert(lines, b.phrase())
	}
	if b.chance(0.93) {
		if err := b.file(path.Join(d.path, name), b.spice(lines, false)); err != nil {
			return err
		}
	}
	b.benign(b.request("search_read", slots{"q": b.sayQuery(q), "d": d.said}), "read")
	b.needs(toolbox.SearchText, toolbox.ReadFile)
	r, err := b.act(fmt.Sprintf("I search for %s.", q), toolbox.SearchText, "query", q, "path", d.path)
	if err != nil {
		return err
	}
	h := hits(r.text)
	switch {
	case !r.ok:
		b.answer(b.failed("search "+d.path, r))
		return nil
	case len(h) == 0:
		b.answer(found(q, r.text))
		return nil
	}
	p := h[0][1]
	r, err = b.act(fmt.Sprintf("%s mentions %s. I read it.", p, q), toolbox.ReadFile, "path", p)
	if err != nil {
		return err
	}
	b.answer(b.quoteRead(p, r))
	return nil
}
