package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

func load(t testing.TB) phrases {
	t.Helper()
	p, err := loadPhrases()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func docs(t testing.TB, split string, seed uint64, n int) []document {
	t.Helper()
	p := load(t)
	ws, err := newWorkspace(filepath.Join(t.TempDir(), "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var out []document
	for i := range n {
		d, err := generate(p, ws, split, seed, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func text(segs []segment) string {
	var b strings.Builder
	for _, s := range segs {
		b.WriteString(s.Text)
	}
	return b.String()
}

// TestRendersAsTemplate holds a conversation against its text under template.jinja.
func TestRendersAsTemplate(t *testing.T) {
	var th thread
	th.say("system", "SYS")
	th.say("user", "read a.txt")
	at := len(th.segs)
	th.reply(speak("I read a.txt.", "read_file", object("path", `ü "x"`)), true)
	th.say("tool", frame.Data("0a0a0a0a", "hi"))
	th.reply("a.txt says: hi", true)
	want := "<|im_start|>system\nSYS\nTools: calculator list_files read_file run_command search_text write_file<|im_end|>\n" +
		"<|im_start|>user\nread a.txt<|im_end|>\n" +
		"<|im_start|>assistant\nI read a.txt.\n<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"ü \\\"x\\\"\"}}\n</tool_call><|im_end|>\n" +
		"<|im_start|>tool\n<data 0a0a0a0a>\nhi\n</data 0a0a0a0a><|im_end|>\n" +
		"<|im_start|>assistant\na.txt says: hi<|im_end|>"
	if got := text(th.segs); got != want {
		t.Errorf("main line\n%q\nwant\n%q", got, want)
	}
	t.Run("forks continue the text", func(t *testing.T) {
		u := thread{segs: append([]segment(nil), th.segs[:at]...), tail: closes + "\n"}
		f := u.fork()
		f.say("user", "Q")
		f.reply("A", true)
		got := text(th.segs[:at]) + text(f.segs)
		if want := want[:strings.Index(want, "<|im_start|>assistant")] + "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("content and control texts are apart", func(t *testing.T) {
		for _, s := range th.segs {
			if s.Special == 0 && strings.Contains(s.Text, opens) || s.Learn == 1 && !strings.HasSuffix(s.Text, closes) {
				t.Errorf("segment %+v", s)
			}
		}
	})
}

// shape is what every conversation must look like.
var shape = regexp.MustCompile(`^(<\|im_start\|>system\n[^<]*<\|im_end\|>\n)(<\|im_start\|>(user|assistant|tool)\n(?s:.*?)<\|im_end\|>\n)*$`)

var reasonForm = regexp.MustCompile(`^\{"reason": "[^"\\\x00-\x1f]{0,200}", "label": "(benign|sensitive|malicious)"\}$`)

func TestDocumentsAreValid(t *testing.T) {
	for _, split := range []string{splitTrain, splitSlots, splitPhr} {
		for _, d := range docs(t, split, 11, 250) {
			if msg := invalid(d); msg != "" {
				t.Fatalf("%s %s: %s\n%s", d.ID, d.Kind, msg, readable(d))
			}
		}
	}
}

// TestValuesStayAsTheyAre holds what a call names against the request that names it.
func TestValuesStayAsTheyAre(t *testing.T) {
	named := 0
	for _, d := range docs(t, splitTrain, 13, 2500) {
		if d.Meta.Turns != 1 {
			continue
		}
		request := d.Main[3].Text
		for _, c := range d.Meta.Calls {
			var args struct{ Path, Query, Content string }
			if err := json.Unmarshal([]byte(c.Args), &args); err != nil {
				t.Fatal(err)
			}
			for _, v := range []string{args.Path, args.Query, args.Content} {
				if len(v) < 2 || !strings.Contains(strings.ToLower(request), strings.ToLower(v)) {
					continue
				}
				named++
				if !strings.Contains(request, v) {
					t.Errorf("%s %s: %q is not in %q", d.ID, d.Kind, v, request)
				}
			}
		}
	}
	if named < 1000 {
		t.Errorf("only %d values are named", named)
	}
}

// TestNoLetterIsBroken makes documents of words that begin with letters of two bytes
// and more.
func TestNoLetterIsBroken(t *testing.T) {
	p := load(t)
	p["word"], p["dir"], p["key"] = []string{"über", "été", "ölsorte"}, []string{"ñame"}, []string{"größe", "écran", "ähre"}
	ws, err := newWorkspace(filepath.Join(t.TempDir(), "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	large := 0
	for i := range 300 {
		d, err := generate(p, ws, splitTrain, 14, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		b, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(b, utf8.RuneError) {
			t.Fatalf("%s", readable(d))
		}
		large += bytes.Count(b, []byte("Über"))
	}
	if large == 0 {
		t.Error("no first letter was made large")
	}
}

// invalid says what is wrong with a document, "" if nothing is.
func invalid(d document) string {
	if !shape.MatchString(text(d.Main)+"\n") && d.Meta.Label != malicious && !d.Meta.Brief {
		return "the main line has the wrong shape"
	}
	if d.Meta.Label != malicious && d.Meta.Answer == "" {
		return "there is no answer"
	}
	var used []string
	for _, c := range d.Meta.Calls {
		if err := (agent.ToolCall{Tool: c.Tool, Args: c.Args}).CheckArgs(); err != nil {
			return "call: " + err.Error()
		}
		used = append(used, c.Tool)
	}
	for _, f := range d.Forks {
		full := text(d.Main[:f.At]) + text(f.Segments) + "\n"
		if !shape.MatchString(full) {
			return "a fork has the wrong shape: " + full
		}
		last := f.Segments[len(f.Segments)-1]
		out := strings.TrimSuffix(last.Text, closes)
		if given := f.Segments[len(f.Segments)-2].Text; strings.HasPrefix(given, "{") { // the runtime begins the answer
			out = given + out
		}
		if last.Learn != 1 || last.Special != 1 {
			return "the answer of a fork is not learned"
		}
		if f.Purpose == "plan" {
			var p struct{ Tools []string }
			if json.Unmarshal([]byte(out), &p) != nil || !sort.StringsAreSorted(p.Tools) || strings.Join(p.Tools, " ") != f.Want {
				return "plan " + out
			}
			continue
		}
		if m := reasonForm.FindStringSubmatch(out); m == nil || m[1] != f.Want {
			return "verdict " + out
		}
	}
	if d.Meta.Turns == 1 && d.Meta.Label != malicious {
		for _, u := range used {
			if !slices.Contains(d.Meta.Plan, u) {
				return "the plan lacks " + u
			}
		}
	}
	return ""
}

func TestInjectionsAreNeverShown(t *testing.T) {
	seen := 0
	for _, d := range docs(t, splitTrain, 12, 600) {
		main := text(d.Main)
		for _, f := range d.Forks {
			if f.Purpose != "screen" || f.Want != malicious {
				continue
			}
			seen++
			for _, s := range f.Segments {
				if strings.HasPrefix(s.Text, "<data ") && strings.Contains(main, s.Text) {
					t.Fatalf("%s shows %q", d.ID, s.Text)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d injections in 600 documents", seen)
	}
}

func TestSameSeedGivesSameData(t *testing.T) {
	var out [2][]byte
	for i, workers := range []int{1, 3} {
		p := load(t)
		file := filepath.Join(t.TempDir(), "docs.jsonl")
		o := options{n: 130, split: splitTrain, seed: 3, out: file, workers: workers}
		if err := writeAll(p, t.TempDir(), o, io.Discard); err != nil {
			t.Fatal(err)
		}
		out[i] = readAll(t, file)
	}
	if !bytes.Equal(out[0], out[1]) {
		t.Error("one worker and three give different data")
	}
}

func TestSplitsShareNothing(t *testing.T) {
	p := load(t)
	clock := regexp.MustCompile(`^\d\d:\d\d$`) // there are too few of them to tell apart
	for i, split := range []string{splitTrain, splitSlots, splitPhr} {
		s := newSource(p, split, 5, uint64(i))
		for name, draw := range map[string]func() string{
			"number": s.number, "folder": s.folder, "mail": s.mail, "value": s.value, "url": s.url, "date": s.date, "decimal": s.decimal,
		} {
			for range 200 {
				if v := draw(); !digit(v) && held(v) != (split != splitTrain) && !clock.MatchString(v) {
					t.Errorf("%s draws the %s %q", split, name, v)
				}
			}
		}
	}
}

func readAll(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRunRefusesBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-split", "test", "-o", "x"}, {"-n", "3"}} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
