// Package eval runs suites of tasks and scores how they end.
//
// It knows tasks and endings, not how a run is made: the caller gives a Run function.
// It writes workspaces only below the scratch folder it is given.
package eval

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Case is one run to be made.
type Case struct {
	Name    string
	Prompt  string
	Dir     string // the workspace
	Reply   bool   // what the user says when asked
	Guarded bool   // false: every verdict allows, and effects are only noted
}

// Result is how a run ended.
type Result struct {
	Status agent.Status
	Answer string
	Calls  []agent.ToolCall // that ran; without the guard, that would have run
	RunID  string

	Proposed  []agent.ToolCall // every call the model made, in order, denied ones too
	Request   Opinion          // of the user's request
	Responses []Response       // that were screened, in order
	Failure   string           // why the run ended in error
}

// Opinion is a label that the run settled on. The zero Opinion has none.
type Opinion struct {
	Label agent.Label      // after the thresholds
	Probs agent.LabelProbs // as the model gave them
}

// Response is a tool response with the label that screening gave it.
type Response struct {
	Text string
	Opinion
}

// Run makes one run. An error means that the run could not be made at all.
type Run func(ctx context.Context, c Case) (Result, error)

// Row is one task's score.
type Row struct {
	Task  tasks.Task
	Got   Result
	Right bool
	Why   string // not right
	Harm  string // what it did that nobody asked for
	Alone Result // the same task without the guard
	Took  time.Duration
}

// Report is a scored suite.
type Report struct {
	Seed uint64
	Rows []Row
}

// Examples runs each task with the guard and, for comparison, without it. Each run gets
// a fresh workspace below scratch. Each row is printed to w as it is known.
func Examples(ctx context.Context, list []tasks.Template, seed uint64, scratch string, run Run, w io.Writer) (Report, error) {
	rep := Report{Seed: seed}
	for _, tmpl := range list {
		task, err := tmpl.Draw(seed)
		if err != nil {
			return rep, err
		}
		row, err := example(ctx, task, scratch, run)
		if err != nil {
			return rep, fmt.Errorf("run task %s: %w", task.ID, err)
		}
		rep.Rows = append(rep.Rows, row)
		fmt.Fprintln(w, row.String())
	}
	return rep, nil
}

func example(ctx context.Context, task tasks.Task, scratch string, run Run) (Row, error) {
	row := Row{Task: task}
	dir, err := workspace(scratch, task)
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	c := Case{Name: task.ID, Prompt: task.Prompt, Dir: dir, Reply: task.Reply, Guarded: true}
	if row.Got, err = run(ctx, c); err != nil {
		return row, err
	}
	row.Took = time.Since(began)
	after, dirs, err := readWorkspace(dir)
	if err != nil {
		return row, err
	}
	e := tasks.Ended{Status: string(row.Got.Status), Answer: row.Got.Answer, Files: after, Dirs: dirs}
	row.Harm = harm(task, e)
	row.Right, row.Why = task.Check(e)

	if c.Dir, err = workspace(scratch, task); err != nil {
		return row, err
	}
	defer os.RemoveAll(c.Dir)
	c.Guarded = false
	row.Alone, err = run(ctx, c)
	return row, err
}

// workspace writes a task's files to a new folder.
func workspace(scratch string, task tasks.Task) (string, error) {
	dir, err := os.MkdirTemp(scratch, "task-"+task.ID+"-")
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	for _, name := range task.Dirs {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return "", err
		}
	}
	for name, text := range task.Files {
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		if err := root.WriteFile(name, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// readWorkspace reads a workspace: path to text, and the folders. What is no file, or
// cannot be read, is told in words that no file holds: whatever a run left behind, a pipe
// or a link that leads outside among it, is compared and never followed.
func readWorkspace(dir string) (files map[string]string, dirs []string, err error) {
	files = map[string]string{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == ".":
			return err
		case err != nil:
			files[path] = "\x00not readable"
			return fs.SkipDir
		case d.IsDir():
			dirs = append(dirs, path)
			return nil
		case !d.Type().IsRegular():
			files[path] = "\x00not a file: " + d.Type().String()
			return nil
		}
		b, err := fs.ReadFile(root.FS(), path)
		if files[path] = string(b); err != nil {
			files[path] = "\x00not readable"
		}
		return nil
	})
	return files, dirs, err
}

// String renders a row: expected against got, and beside it what the model alone did.
func (r Row) String() string {
	mark := "ok  "
	if !r.Right {
		mark = "FAIL"
	}
	s := fmt.Sprintf("%s %-16s %-9s want %-8s got %-8s %5.1fs  %s", mark, r.Task.ID, r.Task.Kind,
		r.Task.Expect.Status, r.Got.Status, r.Took.Seconds(), cut(r.Got.Answer, 90))
	if !r.Right {
		s += "\n       why: " + r.Why + "; task: " + cut(r.Task.Prompt, 120)
	}
	if r.Harm != "" {
		s += "\n       HARM: " + r.Harm
	}
	return s + fmt.Sprintf("\n       without the guard: %s%s", r.Alone.Status, effects(r.Alone.Calls))
}

func effects(calls []agent.ToolCall) string {
	if len(calls) == 0 {
		return ", no call"
	}
	var b strings.Builder
	for _, c := range calls {
		b.WriteString(", " + c.Tool + " " + cut(c.Args, 80))
	}
	return b.String()
}

func cut(s string, n int) string {
	s = strings.Map(func(r rune) rune { // a model's text must not act on a terminal
		if unicode.IsSpace(r) || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// Harm counts the runs that did what the user refused, or what only a malicious request
// or an injected instruction asks for.
func (r Report) Harm() int {
	n := 0
	for _, row := range r.Rows {
		if row.Harm != "" {
			n++
		}
	}
	return n
}

// Right counts the tasks that ended right.
func (r Report) Right() int {
	n := 0
	for _, row := range r.Rows {
		if row.Right {
			n++
		}
	}
	return n
}

// Summary is the last lines of a report.
func (r Report) Summary() string {
	return fmt.Sprintf("%d of %d right, %d harmful effects (seed %d)", r.Right(), len(r.Rows), r.Harm(), r.Seed)
}
