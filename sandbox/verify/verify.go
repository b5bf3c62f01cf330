//go:build linux && (amd64 || arm64)

package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/probe"
)

// Run runs the table with cells of r and returns every outcome. The error is
// that of ctx, or of a machine on which nothing can be tried. A row that ctx breaks
// off has no outcome. What earlier runs of this user that were killed left behind is
// removed first.
func Run(ctx context.Context, r *sandbox.Runner, o Options) ([]Outcome, error) {
	sweep()
	var list []Outcome
	for _, row := range Rows() {
		if len(o.Only) > 0 && !contains(o.Only, row.ID) || len(o.Only) == 0 && !o.All && !row.Quick {
			continue
		}
		if err := ctx.Err(); err != nil {
			return list, err
		}
		out := one(ctx, r, o.Image, row)
		if err := ctx.Err(); err != nil {
			return list, err
		}
		list = append(list, out)
		if o.Report != nil {
			o.Report(out)
		}
	}
	return list, nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// skip is the error of a row that cannot be tested here.
type skip struct{ why string }

func (s skip) Error() string { return s.why }

func one(ctx context.Context, r *sandbox.Runner, image *sandbox.Image, row Row) Outcome {
	out := Outcome{Row: row, State: Untested, Why: row.Untested}
	if row.test == nil {
		return out
	}
	begin := time.Now()
	dir, remove, err := folder()
	if err != nil {
		out.Why = err.Error()
		return out
	}
	defer remove()
	b := &bench{ctx: ctx, runner: r, image: image, id: row.ID, dir: dir, hooks: &hooks{}}
	err = b.prepare()
	if err == nil {
		err = row.test(b)
	}
	out.Took = time.Since(begin)
	var s skip
	switch {
	case err == nil:
		out.State = Pass
	case errors.As(err, &s):
		out.Why = s.why
	default:
		out.State, out.Why = Fail, err.Error()
	}
	return out
}

// secret is what must not be seen.
const secret = "holdfast-secret-4711"

// bench is where one row is tried.
type bench struct {
	ctx    context.Context
	runner *sandbox.Runner
	image  *sandbox.Image
	id     string
	dir    string // of the row; holds work, and outside, where secrets lie
	last   sandbox.Result
	hooks  *hooks // of calls that reach hosts
}

func (b *bench) work() string             { return filepath.Join(b.dir, "work") }
func (b *bench) outside(n string) string  { return filepath.Join(b.dir, "outside", n) }
func (b *bench) inWork(n string) string   { return filepath.Join(b.work(), n) }
func (b *bench) unchanged(p string) error { return holds(p, secret) }

// prepare makes a workspace and, outside of it, something worth reaching.
func (b *bench) prepare() error {
	return errors.Join(os.Chmod(b.dir, 0o755), os.MkdirAll(b.work(), 0o755), os.MkdirAll(b.outside(""), 0o755),
		os.WriteFile(b.outside("secret"), []byte(secret), 0o644), os.WriteFile(b.inWork("mine"), []byte(secret), 0o644))
}

// holds says whether a file of the host still holds a text.
func holds(p, want string) error {
	got, err := os.ReadFile(p)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if string(got) != want {
		return fmt.Errorf("%s now holds %.60q", filepath.Base(p), got)
	}
	return nil
}

// readOnly and writing are the two ways a cell gets the row's workspace.
func (b *bench) readOnly() sandbox.Spec {
	return sandbox.Spec{Workspace: &sandbox.Workspace{Dir: b.work()}}
}

func (b *bench) writing() sandbox.Spec {
	return sandbox.Spec{Profile: sandbox.Standard, Workspace: &sandbox.Workspace{Dir: b.work(), Write: true}}
}

func do(what string, args ...string) probe.Step { return probe.Step{Do: what, Args: args} }

// run carries out steps in one cell and returns what came of each.
func (b *bench) run(s sandbox.Spec, steps ...probe.Step) ([]string, error) {
	in, err := json.Marshal(steps)
	if err != nil {
		return nil, err
	}
	s.CallID, s.Helper, s.Argv, s.Stdin = b.id, b.image, []string{"holdfast-toolbox", probe.Name}, in
	if b.last, err = b.runner.Run(b.ctx, s, sandbox.Discard); err != nil {
		return nil, err
	}
	var got []string
	if err := json.NewDecoder(bytes.NewReader(b.last.Stdout.Bytes())).Decode(&got); err != nil || len(got) != len(steps) {
		return nil, fmt.Errorf("the probe ended with %d, limit %v: %.200q", b.last.Exit, b.last.Limit, b.last.Stderr.Bytes())
	}
	return got, nil
}

// shell runs a script in a cell.
func (b *bench) shell(s sandbox.Spec, script string) (string, error) {
	s.CallID, s.Argv = b.id, []string{"/bin/sh", "-c", script}
	var err error
	if b.last, err = b.runner.Run(b.ctx, s, sandbox.Discard); err != nil {
		return "", err
	}
	return string(b.last.Stdout.Bytes()), nil
}

// want is a step with the outcomes that are good.
type want struct {
	step probe.Step
	good string // a regular expression for the whole outcome
}

func (b *bench) expect(s sandbox.Spec, list ...want) error {
	var steps []probe.Step
	for _, w := range list {
		steps = append(steps, w.step)
	}
	got, err := b.run(s, steps...)
	if err != nil {
		return err
	}
	for i, w := range list {
		if !regexp.MustCompile(`\A(?s:` + w.good + `)\z`).MatchString(got[i]) {
			return fmt.Errorf("%s %.80q: got %.200q, want %s", w.step.Do, w.step.Args, got[i], w.good)
		}
	}
	return nil
}

// steps is a test of a row that consists of steps in a plain Strict cell.
func steps(list ...want) func(*bench) error {
	return func(b *bench) error { return b.expect(sandbox.Spec{}, list...) }
}

// Rows returns the table.
func Rows() []Row {
	var list []Row
	for _, part := range [][]Row{fileRows(), processRows(), networkRows(), kernelRows(), resourceRows(), privilegeRows(),
		leakRows(), terminalRows(), persistenceRows()} {
		list = append(list, part...)
	}
	return list
}
