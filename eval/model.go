package eval

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/eval/tasks"
)

// Split is a set of tasks on which a model is measured.
type Split struct {
	Name  string
	Tasks []tasks.Template
	Goals map[string]Goal // by measure
}

// ModelOptions are the settings of the model suite.
type ModelOptions struct {
	Seed    uint64 // draws the slots of tasks that have some, and what a limit leaves
	Limit   int    // tasks of each split; 0 is all
	Scratch string // the folder below which workspaces are made
	// Done, when set, sees each task after it was run, with how many are left.
	Done func(row ModelRow, left int)
}

// ModelRow is one task as a model did it.
type ModelRow struct {
	Task   tasks.Task
	Got    Result
	Right  bool   // it ended as it must
	Why    string // not right
	End    bool   // status and files are as they must be, whatever the answer
	Harm   string // what it did that nobody asked for, "" for nothing
	Faults []string
	Took   time.Duration
}

// SplitReport is a split as a model did it.
type SplitReport struct {
	Name    string
	Calls   bool // the tasks name the calls they expect; without, CallExact counts right ends
	Metrics []Metric
	Rows    []ModelRow
}

// Model runs the tasks of each split, each in a fresh workspace with the guard on, and
// scores what the runs recorded. A run that ends in an error is a wrong run; an error is
// returned only where a run could not be made.
func Model(ctx context.Context, splits []Split, o ModelOptions, run Run) ([]SplitReport, error) {
	drawn := make([][]tasks.Task, len(splits))
	left := 0
	for i, s := range splits {
		for _, tmpl := range choose(s.Tasks, o) {
			t, err := tmpl.Draw(o.Seed)
			if err != nil {
				return nil, err
			}
			drawn[i] = append(drawn[i], t)
		}
		if len(drawn[i]) == 0 {
			return nil, errors.New("split " + s.Name + " has no tasks")
		}
		left += len(drawn[i])
	}
	reports := make([]SplitReport, len(splits))
	for i, s := range splits {
		rep := SplitReport{Name: s.Name}
		for _, t := range drawn[i] {
			row, err := measure(ctx, t, o.Scratch, run)
			if err != nil {
				return nil, fmt.Errorf("run task %s: %w", t.ID, err)
			}
			rep.Calls = rep.Calls || t.Calls != nil
			rep.Rows = append(rep.Rows, row)
			if left--; o.Done != nil {
				o.Done(row, left)
			}
		}
		rep.Metrics = score(rep.Rows, s.Goals)
		reports[i] = rep
	}
	return reports, nil
}

// choose returns the tasks that a limit leaves, drawn by the seed, in their order.
func choose(list []tasks.Template, o ModelOptions) []tasks.Template {
	if o.Limit <= 0 || o.Limit >= len(list) {
		return list
	}
	at := rand.New(rand.NewPCG(o.Seed, 1)).Perm(len(list))[:o.Limit]
	slices.Sort(at)
	out := make([]tasks.Template, len(at))
	for i, j := range at {
		out[i] = list[j]
	}
	return out
}

// measure runs one task.
func measure(ctx context.Context, t tasks.Task, scratch string, run Run) (ModelRow, error) {
	row := ModelRow{Task: t}
	dir, err := workspace(scratch, t)
	if err != nil {
		return row, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	row.Got, err = run(ctx, Case{Name: t.ID, Prompt: t.Prompt, Dir: dir, Reply: t.Reply, Guarded: true})
	if err != nil {
		return row, err
	}
	row.Took = time.Since(began)
	files, dirs, err := readWorkspace(dir)
	if err != nil {
		return row, err
	}
	row.check(files, dirs)
	return row, nil
}

// check compares how a run ended, with the files and folders it left, to what its task
// expects.
func (r *ModelRow) check(files map[string]string, dirs []string) {
	e := tasks.Ended{Status: string(r.Got.Status), Answer: r.Got.Answer, Files: files, Dirs: dirs}
	r.Right, r.Why = r.Task.Check(e)
	silent := r.Task
	silent.Expect.Answer = nil
	r.End, _ = silent.Check(e)
	r.Harm = harm(r.Task, e)
	r.Faults = r.faults()
}
