package eval

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// RolloutOptions say which runs a rollout is made of.
type RolloutOptions struct {
	Samples int      // attempts at each task
	Seed    uint64   // draws the tasks' values and seeds every run
	Shard   int      // of this machine, from 1; 0 with 0 shards
	Shards  int      // tasks are dealt out to so many shards; 0 is one
	Of      []string // what else makes the rollout what it is: model, temperature, limits
}

// Validate joins every fault of the options.
func (o RolloutOptions) Validate() error {
	var errs []error
	if o.Samples < 1 || o.Samples > 1<<20 {
		errs = append(errs, fmt.Errorf("%d samples of a task, want 1 to %d", o.Samples, 1<<20))
	}
	if o.Shards < 0 || o.Shards > 0 && (o.Shard < 1 || o.Shard > o.Shards) || o.Shards == 0 && o.Shard != 0 {
		errs = append(errs, fmt.Errorf("shard %d of %d", o.Shard, o.Shards))
	}
	return errors.Join(errs...)
}

// Rollout is a plan: runs of tasks, attempt by attempt.
type Rollout struct {
	Name string // the same for every shard
	Jobs []Job
}

// Job is one run of a rollout.
type Job struct {
	Task   tasks.Task
	Sample int
	Seed   uint64 // of its sampling, below 2^53
	Group  string // the same for all attempts at the task
}

// Key names a job within the shards of its rollout.
type Key struct {
	Group  string
	Sample int
}

// Key returns the job's key.
func (j Job) Key() Key { return Key{j.Group, j.Sample} }

// PlanRollout draws the tasks and lays out the runs. All attempts at a task get the same
// values. The same tasks and options give the same plan, and the shards together the
// plan of one. Attempts go round all tasks in turn, so that a rollout that is cut short
// has seen all of them.
func PlanRollout(list []tasks.Template, o RolloutOptions) (Rollout, error) {
	if err := o.Validate(); err != nil {
		return Rollout{}, fmt.Errorf("plan rollout: %w", err)
	}
	fields := [][]byte{word(uint64(o.Samples)), word(o.Seed)}
	for _, s := range o.Of {
		fields = append(fields, []byte(s))
	}
	drawn := make([]tasks.Task, len(list))
	seen := map[string]bool{}
	for i, tmpl := range list {
		if seen[tmpl.ID] {
			return Rollout{}, fmt.Errorf("plan rollout: two tasks are called %s", tmpl.ID)
		}
		seen[tmpl.ID] = true
		t, err := tmpl.Draw(number("holdfast/rollout-draw/1", word(o.Seed), []byte(tmpl.ID)))
		if err != nil {
			return Rollout{}, err
		}
		drawn[i] = t
		fields = append(fields, agent.JSON(tmpl).Data)
	}
	d := agent.Hash("holdfast/rollout/1", fields...)
	r := Rollout{Name: "rollout-" + hex.EncodeToString(d[:6])}
	for sample := range o.Samples {
		for i, t := range drawn {
			if o.Shards > 1 && i%o.Shards != o.Shard-1 {
				continue // a group stays within one shard
			}
			r.Jobs = append(r.Jobs, Job{Task: t, Sample: sample, Group: r.Name + "/" + t.ID,
				Seed: number("holdfast/rollout-seed/1", word(o.Seed), []byte(t.ID), word(uint64(sample)))})
		}
	}
	return r, nil
}

func word(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// number is a hash as a number that JSON readers keep whole.
func number(tag string, fields ...[]byte) uint64 {
	d := agent.Hash(tag, fields...)
	return binary.BigEndian.Uint64(d[:8]) & (1<<53 - 1)
}

// Progress is how far a rollout is.
type Progress struct {
	Done, Total int
	Rate        float64       // runs a minute, of this session
	Left        time.Duration // at that rate; 0 while it is not known
}

// RolloutRun makes one run in the workspace dir. An error ends the rollout.
type RolloutRun func(ctx context.Context, j Job, dir string) error

// Run makes the runs that are not done yet, so many at a time, each in a fresh workspace
// below scratch that is removed after it. See is called after each, never twice at once.
// The first error stops the others and is returned.
func (r Rollout) Run(ctx context.Context, done map[Key]bool, parallel int, scratch string, run RolloutRun, see func(Progress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left []Job
	for _, j := range r.Jobs {
		if !done[j.Key()] {
			left = append(left, j)
		}
	}
	p := meter{began: time.Now(), before: len(r.Jobs) - len(left), total: len(r.Jobs), see: see}
	jobs := make(chan Job)
	var wg sync.WaitGroup
	for range max(1, parallel) {
		wg.Go(func() {
			for j := range jobs {
				if err := attempt(ctx, j, scratch, run); err != nil {
					cancel(fmt.Errorf("run task %s, sample %d: %w", j.Task.ID, j.Sample, err))
					return
				}
				p.step()
			}
		})
	}
feed:
	for _, j := range left {
		select {
		case jobs <- j:
		case <-ctx.Done():
			break feed
		}
	}
	close(jobs)
	wg.Wait()
	return context.Cause(ctx)
}

func attempt(ctx context.Context, j Job, scratch string, run RolloutRun) error {
	dir, err := workspace(scratch, j.Task)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return run(ctx, j, dir)
}

// Verify compares a workspace after a run with what its task expects.
func (j Job) Verify(dir, status, answer string) (right bool, why string, err error) {
	files, dirs, err := readWorkspace(dir)
	if err != nil {
		return false, "", err
	}
	right, why = j.Task.Check(tasks.Ended{Status: status, Answer: answer, Files: files, Dirs: dirs})
	return right, why, nil
}

// meter counts runs.
type meter struct {
	mu     sync.Mutex
	began  time.Time
	before int
	ran    int
	total  int
	see    func(Progress)
}

func (m *meter) step() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ran++
	if m.see == nil {
		return
	}
	took := time.Since(m.began)
	p := Progress{Done: m.before + m.ran, Total: m.total, Rate: float64(m.ran) / took.Minutes()}
	p.Left = time.Duration(float64(took) / float64(m.ran) * float64(p.Total-p.Done))
	m.see(p)
}
