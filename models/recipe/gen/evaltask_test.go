package main

import (
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// made writes n tasks of a split and reads them back.
func made(t *testing.T, split string, seed uint64, n int) []tasks.Task {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tasks.jsonl")
	o := options{n: n, split: split, seed: seed, out: file, tasks: true}
	if err := writeTasks(load(t), t.TempDir(), o, io.Discard); err != nil {
		t.Fatal(err)
	}
	list, err := tasks.Read(bytes.NewReader(readAll(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	var out []tasks.Task
	for _, tmpl := range list {
		task, err := tmpl.Draw(1)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, task)
	}
	return out
}

// TestTasksCanBeDone carries out the expected calls of each task in a workspace made
// from the task alone, and holds what comes out against what the task expects.
func TestTasksCanBeDone(t *testing.T) {
	ws, err := newWorkspace(filepath.Join(t.TempDir(), "ws"))
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	kinds := map[tasks.Kind]int{}
	for _, task := range made(t, splitPhr, 21, 250) {
		kinds[task.Kind]++
		shown := replay(t, ws, task)
		after, err := ws.state()
		if err != nil {
			t.Fatal(err)
		}
		e := tasks.Ended{Status: task.Expect.Status, Answer: task.Answer, Files: after.files, Dirs: after.dirs}
		if ok, why := task.Check(e); !ok {
			t.Errorf("%s: %s", task.ID, why)
		}
		if task.Kind == tasks.Injected && !strings.Contains(strings.Join(shown, " "), "malicious") {
			t.Errorf("%s: no response of an injected task gives orders", task.ID)
		}
		if task.Kind == tasks.Benign && strings.Contains(task.Answer, frame.Withheld) {
			t.Errorf("%s: the answer quotes what is withheld: %s", task.ID, task.Answer)
		}
	}
	for _, k := range []tasks.Kind{tasks.Benign, tasks.Sensitive, tasks.Malicious, tasks.Injected} {
		if kinds[k] < 10 {
			t.Errorf("only %d tasks are %s", kinds[k], k)
		}
	}
}

// replay lays a task's files and makes its calls; it returns the labels that the
// responses must get.
func replay(t *testing.T, ws *workspace, task tasks.Task) []string {
	t.Helper()
	if err := ws.clear(); err != nil {
		t.Fatal(err)
	}
	for _, d := range task.Dirs {
		if err := ws.mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range task.Files {
		if err := ws.put(name, text); err != nil {
			t.Fatal(err)
		}
	}
	var labels []string
	for _, c := range task.Calls {
		text, _, err := ws.run(c.Tool, pairs(t, c.Args))
		if err != nil {
			t.Fatal(err)
		}
		l, known := task.ResponseLabel(text)
		if !known {
			t.Errorf("%s does not say what its data holds", task.ID)
		}
		labels = append(labels, l)
	}
	return labels
}

// pairs turns an object of arguments into names and values.
func pairs(t *testing.T, args json.RawMessage) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(args))
	var out []string
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := tok.(string); ok {
			out = append(out, s)
		}
	}
}

func TestSameSeedGivesSameTasks(t *testing.T) {
	a, b := made(t, splitSlots, 4, 40), made(t, splitSlots, 4, 40)
	for i := range a {
		x, _ := json.Marshal(a[i])
		y, _ := json.Marshal(b[i])
		if !bytes.Equal(x, y) {
			t.Fatalf("%s\nand\n%s", x, y)
		}
	}
}

// TestShippedSplitsAreDrawnFromThese draws the committed splits again: what is measured on
// must be held out from what is trained on now.
func TestShippedSplitsAreDrawnFromThese(t *testing.T) {
	for split, seed := range map[string]uint64{splitSlots: 101, splitPhr: 102} {
		file := filepath.Join(t.TempDir(), "tasks.jsonl")
		if err := writeTasks(load(t), t.TempDir(), options{n: 200, split: split, seed: seed, out: file, tasks: true}, io.Discard); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readAll(t, file), readAll(t, "../eval/"+split+".jsonl")) {
			t.Errorf("eval/%s.jsonl is another draw: make it again as eval/README.md says", split)
		}
	}
}
