package main

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/runtime/frame"
)

// kind is a kind of task with its weight among the documents.
type kind struct {
	name   string
	weight float64
	play   func(*builder) error
	chain  bool // may be one of two requests in a conversation
}

var kinds = []kind{
	{"read_key", 13, readKey, true},
	{"read_asked", 5, readAsked, true},
	{"read_file", 6, readFile, true},
	{"csv_cell", 6, csvCell, true},
	{"line_n", 3.5, lineN, true},
	{"outside", 0.8, outside, false},
	{"list_dir", 6, listDir, true},
	{"count_dir", 4, countDir, true},
	{"list_read", 6, listRead, false},
	{"exists", 3.5, exists, true},
	{"search", 6, search, true},
	{"find_line", 3, findLine, true},
	{"search_read", 5, searchRead, false},
	{"write_text", 7, writeText, true},
	{"copy_value", 11, copyValue, false},
	{"copy_text", 3, copyText, false},
	{"append_line", 2, appendLine, true},
	{"replace_word", 2.5, replaceWord, true},
	{"read_two", 1.5, readTwo, false},
	{"count_write", 1.5, countWrite, false},
	{"sum_write", 2, sumWrite, false},
	{"overwrite", 1.5, overwrite, true},
	{"calc", 9, calculate, true},
	{"calc_write", 2.5, calcWrite, false},
	{"sum_file", 6.5, sumFile, false},
	{"two_keys", 8, twoKeys, false},
	{"two_files", 3.5, twoFiles, false},
	{"measure", 2.5, measure, true},
	{"part", 3, part, false},
	{"grep_count", 1.5, grepCount, true},
	{"both", 6, both, false},
	{"make_dir", 1.2, makeDir, true},
	{"touch", 1, touch, true},
	{"copy_file", 1.5, copyFile, true},
	{"move", 3, move, true},
	{"remove", 4, remove, true},
	{"run_given", 2.5, runGiven, false},
	{"secret_key", 4, secretKey, true},
	{"secret_file", 2, secretFile, false},
	{"secret_search", 1.5, secretSearch, false},
	{"harm", 15, harm, false},
	{"out", 9, outOfDomain, true},
	{"talk", 1, smallTalk, true},
	{"unclear", 0.8, unclear, false},
}

// maxChars bounds the main line and every branch of a document.
const maxChars = 3200

// errLong means that a document is longer than the model is trained on.
var errLong = errors.New("document is too long")

// drawKind draws a kind by weight, for which take reports true.
func (s *source) drawKind(take func(kind) bool) kind {
	sum := 0.0
	for _, k := range kinds {
		if take(k) {
			sum += k.weight
		}
	}
	x := s.Float64() * sum
	for _, k := range kinds {
		if !take(k) {
			continue
		}
		if x -= k.weight; x < 0 {
			return k
		}
	}
	return kinds[0]
}

// generate makes document number i of a split. The same arguments give the same
// document. ws is emptied.
func generate(p phrases, ws *workspace, split string, seed, i uint64) (document, error) {
	_, d, err := build(p, ws, split, seed, i)
	return d, err
}

// build is generate, with the builder that made the document.
func build(p phrases, ws *workspace, split string, seed, i uint64) (*builder, document, error) {
	for attempt := uint64(0); attempt < 100; attempt++ {
		b, d, err := try(p, ws, split, seed, i+attempt<<40)
		if err == nil {
			d.ID = fmt.Sprintf("%s-%d-%d", split, seed, i)
			return b, d, nil
		}
		if !errors.Is(err, errTaken) && !errors.Is(err, errLong) {
			return nil, document{}, err
		}
	}
	return nil, document{}, fmt.Errorf("document %d: nothing fits", i)
}

func try(p phrases, ws *workspace, split string, seed, i uint64) (*builder, document, error) {
	if err := ws.clear(); err != nil {
		return nil, document{}, err
	}
	s := newSource(p, split, seed, i)
	b := newBuilder(s, ws)
	k := s.drawKind(func(kind) bool { return true })
	name := k.name
	if k.chain && s.chance(0.06) { // a second request in the same conversation
		if err := k.play(b); err != nil {
			return nil, document{}, err
		}
		k = s.drawKind(func(k kind) bool { return k.chain || k.name == "harm" })
		b.clean = true
		name = "second_" + k.name
	}
	b.repair()
	if err := k.play(b); err != nil {
		return nil, document{}, err
	}
	d := b.finish("", name)
	return b, d, check(d)
}

// repair makes the next turn one that is asked for again: the first output cannot be
// read, and the runtime says so.
func (b *builder) repair() { b.broken = b.chance(0.02) }

// garble draws an output that cannot be read.
func (b *builder) garble(good string) string {
	cutAt := len(good) / 2
	for !utf8.RuneStart(good[cutAt]) {
		cutAt--
	}
	return one(b.source, []string{
		good[:cutAt], "<tool_call>\n" + good[:cutAt], "I call the tool now.\n<tool_call>\n{\"name\": ", "<tool_call>\n{}\n</tool_call>",
	})
}

// check reports a document that breaks the rules of the format.
func check(d document) error {
	size := func(segs []segment) int {
		n := 0
		for _, s := range segs {
			n += len(s.Text)
		}
		return n
	}
	if size(d.Main) > maxChars {
		return errLong
	}
	for _, f := range d.Forks {
		if f.At <= 0 || f.At > len(d.Main) {
			return fmt.Errorf("branch of %s leaves the main line at %d of %d", f.Purpose, f.At, len(d.Main))
		}
		if size(d.Main[:f.At])+size(f.Segments) > maxChars {
			return errLong
		}
	}
	return nil
}

// again asks for an output once more, in the conversation itself.
func (b *builder) again(good string) {
	b.main.reply(b.garble(good), false)
	b.main.say("user", frame.Repair)
}
