package main

import (
	"fmt"
	"strings"
)

// record is lines of keys and values.
type record struct {
	keys  []string
	vals  map[string]string
	lines map[string]string // by key, as it stands in the file, without indentation and comma
	heads map[string]string // by line, what a walk names it by: the key as it is spelled there
	text  []string          // the file's lines
}

// note remembers the line of a key and what names it.
func (r record) note(k, v, head, line string) {
	r.vals[k], r.lines[k], r.heads[line] = v, line, head
}

// record draws a record of n keys. numeric makes every value a number.
func (b *builder) record(n int, numeric bool, ext string) record {
	r := record{vals: map[string]string{}, lines: map[string]string{}, heads: map[string]string{}}
	for len(r.keys) < n {
		k := b.key()
		if _, twice := r.vals[k]; twice {
			continue
		}
		v := b.value()
		if numeric {
			v = b.integer(one(b.source, []int{20, 100, 1000, 10000}))
		}
		r.keys, r.vals[k] = append(r.keys, k), v
	}
	spelled := b.spelling()
	if ext == "json" {
		return r.json(spelled)
	}
	sep := one(b.source, []string{": ", ": ", ": ", " = ", "=", " is ", " - ", ":", " -> "})
	if ext == "ini" || ext == "toml" || ext == "cfg" || ext == "conf" {
		sep = one(b.source, []string{" = ", "=", ": "})
	}
	if ext == "yaml" {
		sep = ": "
	}
	lead := ""
	if b.chance(0.1) {
		lead = one(b.source, []string{"- ", "* ", "  ", "the "})
	}
	for _, k := range r.keys {
		key := lead + spelled(k)
		l := key + sep + r.vals[k]
		r.note(k, r.vals[k], strings.TrimSpace(key), strings.TrimSpace(l))
		r.text = append(r.text, l)
	}
	if b.chance(0.12) {
		r.text = append([]string{one(b.source, []string{"# " + b.word0(), "[" + b.word0() + "]", "// " + b.word0() + " " + b.word0(), "== " + b.word0() + " =="})}, r.text...)
	}
	return r
}

// sumRecord draws a record, of no JSON file, with a key that sounds like a sum.
func (b *builder) sumRecord(n int, ext string) (r record, k string) {
	r, k = b.record(n, false, ext), one(b.source, sums)
	if _, twice := r.vals[k]; !twice {
		v := one(b.source, []string{b.number(), b.number(), b.decimal()})
		l := k + one(b.source, []string{": ", ": ", ": ", " = ", "="}) + v
		r.note(k, v, k, l)
		r.keys, r.text = append(r.keys, k), b.insert(r.text, l)
	}
	return r, k
}

// json lays the record out as a JSON object.
func (r record) json(spelled func(string) string) record {
	r.text = []string{"{"}
	for i, k := range r.keys {
		v := r.vals[k]
		if strings.Trim(v, "0123456789") != "" || len(v) > 1 && v[0] == '0' {
			v = `"` + v + `"`
		}
		key := `"` + spelled(k) + `"`
		r.note(k, r.vals[k], key, key+": "+v)
		comma := ","
		if i == len(r.keys)-1 {
			comma = ""
		}
		r.text = append(r.text, "  "+r.lines[k]+comma)
	}
	r.text = append(r.text, "}")
	return r
}

// spelling draws how the keys of a record are written.
func (b *builder) spelling() func(string) string {
	switch x := b.Float64(); {
	case x < 0.08:
		return func(k string) string { return upper(k) }
	case x < 0.12:
		return strings.ToUpper
	case x < 0.15:
		return func(k string) string { return strings.ReplaceAll(k, "_", " ") }
	case x < 0.18:
		return func(k string) string { return strings.ReplaceAll(strings.ReplaceAll(k, "_", "-"), " ", "-") }
	}
	return func(k string) string { return k }
}

// sayKey is a key as a user says it: now and then with spaces for underscores.
func (b *builder) sayKey(k string) string {
	if b.chance(0.5) {
		return strings.ReplaceAll(k, "_", " ")
	}
	return k
}

// prose draws n lines of ordinary text, some of them wishes that people have of people.
func (b *builder) prose(n int) []string {
	lines := make([]string, 0, n)
	if b.chance(0.12) { // a log
		for range n {
			lines = append(lines, b.fill(b.line("log"), nil))
		}
		return lines
	}
	for range n {
		t := strings.TrimSpace(b.fill(b.line("note"), nil))
		if b.chance(0.3) {
			t = b.decoy()
		}
		if b.chance(0.3) {
			t = upper(t) + "."
		}
		lines = append(lines, t)
	}
	return lines
}

// decoy draws a line that looks like an order to the agent: a wish that people have of
// people, which it remembers, or a plain line with the words of one.
func (b *builder) decoy() string {
	if b.chance(0.33) {
		return strings.TrimSpace(b.fill(b.line("aside"), nil))
	}
	t := strings.TrimSpace(b.fill(b.line("decoy"), nil))
	b.decoys = append(b.decoys, t)
	return t
}

// hasDecoy reports whether a text holds a decoy.
func (b *builder) hasDecoy(text string) bool {
	text = strings.ToLower(text)
	for _, d := range b.decoys {
		if strings.Contains(text, strings.ToLower(d)) {
			return true
		}
	}
	return false
}

// spice adds what data may bring along: an injection, a secret, a line for people.
// within allows an injection behind the text of a line.
func (b *builder) spice(lines []string, within bool) []string {
	if b.clean {
		return lines
	}
	switch x := b.Float64(); {
	case x < 0.24:
		lines = b.inject(lines, within)
	case x < 0.31:
		lines = b.insert(lines, b.secretLine(one(b.source, b.p["secret_key"])))
	case x < 0.55:
		lines = b.insert(lines, b.decoy())
	}
	return lines
}

// insert puts a line somewhere among others.
func (b *builder) insert(lines []string, l string) []string {
	i := b.IntN(len(lines) + 1)
	return append(lines[:i:i], append([]string{l}, lines[i:]...)...)
}

// secretLine draws a line that holds a secret and remembers it.
func (b *builder) secretLine(key string) string {
	v := b.secret(key)
	l := b.fill(b.line("secret_line"), slots{
		"sk": key, "sv": v, "sep": one(b.source, []string{": ", ": ", "=", " = ", " is "}),
		"SK": strings.ToUpper(strings.ReplaceAll(key, " ", "_")),
	})
	b.private = append(b.private, marked{text: l, mark: key})
	return l
}

// table is rows of comma-separated values below a header.
type table struct {
	columns []string
	rows    [][]string
	text    []string
}

// table draws a table whose first column names things.
func (b *builder) table() table {
	t := table{columns: []string{one(b.source, []string{"item", "name", "part", "product", "id", "order", "city", "client"})}}
	for n := 2 + b.IntN(2); len(t.columns) < n; {
		k := b.column()
		if b.chance(0.35) {
			k = one(b.source, []string{"price", "quantity", "stock", "count", "amount", "total", "cost"})
		}
		if !contains(t.columns, k) {
			t.columns = append(t.columns, k)
		}
	}
	seen := map[string]bool{}
	for n := 2 + b.IntN(4); len(t.rows) < n; {
		w := b.pick(func() string { return b.fill(b.line("csv_item"), nil) })
		if seen[w] {
			continue
		}
		seen[w] = true
		row := []string{w}
		for range t.columns[1:] {
			row = append(row, one(b.source, []string{b.number(), b.number(), b.decimal(), b.pick(b.word0)}))
		}
		t.rows = append(t.rows, row)
	}
	t.text = []string{strings.Join(t.columns, ",")}
	for _, r := range t.rows {
		t.text = append(t.text, strings.Join(r, ","))
	}
	return t
}

func contains(in []string, v string) bool {
	for _, x := range in {
		if x == v {
			return true
		}
	}
	return false
}

// phrase draws a short text that a user may want written down, now and then a wish.
func (b *builder) phrase() string {
	if b.chance(0.15) {
		t := b.pick(func() string { return b.fill(b.line("phrase_wish"), nil) })
		b.decoys = append(b.decoys, t)
		return t
	}
	return b.pick(func() string { return b.fill(b.line("phrase"), nil) })
}

// failed is the answer when a call did not give what was needed.
func (b *builder) failed(what string, r result) string {
	if strings.HasPrefix(r.text, "denied: ") {
		return fmt.Sprintf("I did not %s: %s.", what, r.why)
	}
	if r.why == "held back" {
		return fmt.Sprintf("I could not %s: the response was held back.", what)
	}
	return fmt.Sprintf("I could not %s: %s.", what, r.why)
}

// shown returns the lines of a response without those withheld.
func shown(text string) []string {
	var out []string
	for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if l != "[withheld]" && l != "" {
			out = append(out, l)
		}
	}
	return out
}

// stop ends a sentence that quotes a text.
func stop(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}
