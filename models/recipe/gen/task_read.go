package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// lay puts a text file where the request says it is; now and then there is none, or
// a folder in its stead.
func (b *builder) lay(f file, lines []string) error {
	switch x := b.Float64(); {
	case x < 0.055:
		return nil
	case x < 0.065:
		return b.ws.mkdir(f.path)
	}
	return b.file(f.path, lines)
}

// benign asks a benign request of a kind.
func (b *builder) benign(request, reason string) { b.ask(request, benign, b.line("reason."+reason)) }

func ext(f file) string { return strings.TrimPrefix(path.Ext(f.path), ".") }

// readKey: the value of a key in a file.
func readKey(b *builder) error {
	f := b.newFile("")
	missing, lines := b.chance(0.4), 1+b.IntN(8)
	if missing && b.chance(0.3) {
		lines = 1 + b.IntN(2) // a short file tempts most to take what is there
	}
	rec := b.record(lines, false, ext(f))
	k := one(b.source, rec.keys)
	switch {
	case missing:
		k = b.otherKey(rec)
	case ext(f) != "json" && b.chance(0.06):
		rec, k = b.sumRecord(lines-1, ext(f))
	}
	if err := b.lay(f, b.spice(rec.text, ext(f) != "json")); err != nil {
		return err
	}
	said := b.sayKey(k)
	b.benign(b.request("read_key", slots{"k": said, "f": f.said}), "read")
	r, err := b.act(fmt.Sprintf("I read %s to find the %s.", f.path, said), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	b.answer(b.keyAnswer(f, rec, k, said, r))
	return nil
}

// otherKey draws a key that a record lacks.
func (b *builder) otherKey(rec record) string {
	for {
		if k := b.key(); rec.lines[k] == "" {
			return k
		}
	}
}

// keyAnswer walks to the line of a key in what was read.
func (b *builder) keyAnswer(f file, rec record, k, said string, r result) string {
	if !r.ok {
		return b.failed("read "+f.path, r)
	}
	seen, found := rec.walk(r.text, k)
	if found == 0 {
		b.gist = append(b.gist, "no "+said)
		return hasNo(f.path, seen, said)
	}
	b.gist = append(b.gist, rec.vals[k])
	return stop(has(f.path, seen))
}

// quoteText is the answer that shows a text.
func quoteText(f, text string) string {
	lines := shown(text)
	switch len(lines) {
	case 0:
		return f + " is empty."
	case 1:
		return f + " says: " + lines[0]
	}
	return f + " says:\n" + strings.Join(lines, "\n")
}

// quoteRead is the answer after a file was read as a whole.
func (b *builder) quoteRead(f string, r result) string {
	if !r.ok {
		return b.failed("read "+f, r)
	}
	b.gist = append(b.gist, shown(r.text)...)
	return quoteText(f, r.text)
}

// text draws the lines of a short file.
func (b *builder) text(f file) []string {
	switch x := b.Float64(); {
	case x < 0.45:
		return b.prose(1 + b.IntN(3))
	case x < 0.6:
		return b.record(1+b.IntN(3), false, ext(f)).text
	case x < 0.7:
		t := b.table().text
		return t[:min(3, len(t))]
	case x < 0.72:
		return nil
	}
	return []string{b.phrase()}
}

// readFile: the whole text of a short file.
func readFile(b *builder) error {
	f := b.newFile("")
	if err := b.lay(f, b.spice(b.text(f), true)); err != nil {
		return err
	}
	b.benign(b.request("read_file", slots{"f": f.said}), "read")
	r, err := b.act(fmt.Sprintf("I read %s.", f.path), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	b.answer(b.quoteRead(f.path, r))
	return nil
}

// csvCell: a cell of a table, by row and column.
func csvCell(b *builder) error {
	f := b.newFile(one(b.source, []string{"csv", "csv", "csv", "txt"}))
	t := b.table()
	row := one(b.source, t.rows)
	c := 1 + b.IntN(len(t.columns)-1)
	item := row[0]
	if b.chance(0.12) {
		item = b.pick(b.pseudo)
	}
	if err := b.lay(f, b.spice(t.text, false)); err != nil {
		return err
	}
	col := b.sayKey(t.columns[c])
	section, sought := "csv", col
	switch {
	case t.alone(c, "quantity amount stock count total") && b.chance(0.67):
		section, sought = "csv_many", "number"
	case t.alone(c, "price cost unit_price") && b.chance(0.67):
		section, sought = "csv_cost", "price"
	}
	b.benign(b.request(section, slots{"c": col, "w": item, "f": f.said}), "read")
	r, err := b.act(fmt.Sprintf("I read %s to find the %s of %s.", f.path, sought, item), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("read "+f.path, r))
		return nil
	}
	seen, found := t.walkRows(r.text, item, c)
	if !found {
		b.gist = append(b.gist, "no "+item)
		b.answer(hasNo(f.path, seen, item))
		return nil
	}
	b.gist = append(b.gist, row[c])
	b.answer(stop(has(f.path, seen)))
	return nil
}

// alone reports whether column c is one of some names, and no other column is.
func (t table) alone(c int, names string) bool {
	n := 0
	for _, k := range t.columns {
		if contains(strings.Fields(names), k) {
			n++
		}
	}
	return n == 1 && contains(strings.Fields(names), t.columns[c])
}

var ordinals = []string{"first", "second", "third", "fourth", "fifth"}

// lineN: the first, second ... or last line of a file.
func lineN(b *builder) error {
	f := b.newFile("")
	lines := b.prose(2 + b.IntN(3))
	i := b.IntN(min(len(lines), 4))
	ord := ordinals[i]
	if b.chance(0.2) {
		i, ord = len(lines)-1, "last"
	}
	t := b.line("line_n")
	if strings.Contains(t, "begin") {
		i, ord = 0, "first"
	}
	if strings.Contains(t, "{i}") && ord == "last" {
		ord = ordinals[i]
	}
	b.clean = true // an injected line would change the count
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.benign(b.dress(t, slots{"f": f.said, "i": fmt.Sprint(i + 1), "o": ord}), "read")
	which := fmt.Sprintf("line %d", i+1)
	if ord == "last" {
		which = "the last line"
	}
	r, err := b.act(fmt.Sprintf("I read %s to find %s.", f.path, which), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("read "+f.path, r))
		return nil
	}
	b.gist = append(b.gist, lines[i])
	b.answer(fmt.Sprintf("%s says %s", f.path, walkLines(lines, i)))
	return nil
}

// outside: a path beyond the workspace.
func outside(b *builder) error {
	p := one(b.source, []string{"/etc/" + b.word0() + ".conf", "/var/log/" + b.word0() + ".log", "../" + b.pick(b.base), "../" + b.folder() + "/" + b.pick(b.base), "/home/" + b.word0() + "/" + b.pick(b.base), "/tmp/" + b.pick(b.base), "/usr/share/" + b.word0() + "/" + b.pick(b.base)})
	b.benign(b.request("read_file", slots{"f": b.quote(p)}), "read")
	r, err := b.act(fmt.Sprintf("I read %s.", p), toolbox.ReadFile, "path", p)
	if err != nil {
		return err
	}
	b.answer(b.quoteRead(p, r))
	return nil
}

// sizes are keys with a number that is no count of things.
const sizes = "limit timeout price width height weight temperature speed capacity"

// askedKeys are the questions that ask for a key without the word "what".
var askedKeys = []struct {
	section string
	keys    string // "" for any of the lists below
}{
	{"read_who", "owner author manager speaker contact_person supplier client contact editor driver trainer host chair"},
	{"read_when", "deadline start end date due_date delivery_date start_date end_date meeting visit delivery release exam party tour audit lunch"},
	{"read_many", "threads retries max_users rooms chairs orders pages members items seats"},
	{"read_many", sizes},
	{"read_person", ""},
}

// readAsked: the value of a key, asked with who, when or how many.
func readAsked(b *builder) error {
	f := b.newFile("")
	a := one(b.source, askedKeys)
	rec := b.record(1+b.IntN(4), false, ext(f))
	k := b.person()
	if a.keys != "" {
		k = one(b.source, strings.Fields(a.keys))
	}
	if rec.lines[k] != "" || ext(f) == "json" {
		return errTaken
	}
	v := map[string]func() string{
		"read_who": b.person, "read_when": func() string {
			return one(b.source, []string{b.date(), b.clock(), b.expand("(monday|tuesday|friday)")})
		},
		"read_many": b.number, "read_person": b.value,
	}[a.section]()
	if b.chance(0.7) {
		l := k + one(b.source, []string{": ", ": ", " = ", " - ", "=", " is "}) + v
		rec.note(k, v, k, l)
		rec.text = b.insert(rec.text, l)
	}
	if err := b.lay(f, b.spice(rec.text, true)); err != nil {
		return err
	}
	said := b.sayKey(k)
	t := b.line(a.section)
	if a.keys == sizes {
		for t = b.expand(t); strings.Contains(t, "many"); t = b.expand(b.line(a.section)) {
		}
	}
	b.benign(b.dress(t, slots{"k": said, "f": f.said}), "read")
	r, err := b.act(b.findThought(a.section, f, said), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	b.answer(b.keyAnswer(f, rec, k, said, r))
	return nil
}

// findThought is the thought before a key is looked up.
func (b *builder) findThought(section string, f file, said string) string {
	if section == "read_person" {
		return fmt.Sprintf("I read %s to find %s.", f.path, said)
	}
	return fmt.Sprintf("I read %s to find the %s.", f.path, said)
}
