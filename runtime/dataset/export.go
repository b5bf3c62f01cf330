package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Error is a failed export or import. It wraps Err.
type Error struct {
	Op   string // verb phrase: "write rows"
	Hint string // what the operator can do; "" if nothing
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Export writes the records of the given runs, in their order, below dir: the rows, a
// card.json and a README.md, each beside its place first, then synced and renamed. The
// folder is made if it is not there. It returns the card and the runs of which something
// left. A nil redactor redacts nothing.
func Export(ctx context.Context, src Source, runs []Run, o Options, red *Redactor, a About, dir string) (*Card, []string, error) {
	if err := o.Validate(); err != nil {
		return nil, nil, &Error{Op: "export", Hint: "see holdfast export --help", Err: err}
	}
	if o.Realign == 0 {
		o.Realign = DefaultRealign
	}
	x := &exporter{o: o, seen: map[string]bool{}, advantages: map[string]*float64{}, card: newCard(o, a)}
	list, err := x.read(ctx, src, runs, red)
	if err != nil {
		return nil, nil, &Error{Op: "read runs", Err: err}
	}
	rows, err := x.rows(list)
	if err != nil {
		hint := ""
		if errors.Is(err, errMixed) {
			hint = "raw is at temperature 1 over the whole vocabulary, sampled is what was drawn from"
		}
		return nil, nil, &Error{Op: "make rows", Hint: hint, Err: err}
	}
	left := x.settle(rows)
	if red != nil {
		x.card.Redacted = red.Hits
	}
	files, err := x.files(rows)
	if err == nil {
		err = x.write(dir, files)
	}
	if err != nil {
		return nil, nil, &Error{Op: "write " + dir, Hint: "give a folder that can be written with -o DIR", Err: err}
	}
	return x.card, left, nil
}

// read folds the runs that may be exported.
func (x *exporter) read(ctx context.Context, src Source, runs []Run, red *Redactor) ([]*Trajectory, error) {
	var list []*Trajectory
	for _, r := range runs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		x.card.Runs++
		t, err := Read(ctx, src, r)
		if err != nil {
			return nil, err
		}
		if why := mayLeave(t); why != "" {
			x.lose(why)
			continue
		}
		list = append(list, t)
	}
	list = x.latest(list, runs)
	for _, t := range list {
		if err := red.Apply(t); err != nil {
			return nil, fmt.Errorf("redact run %s: %w", t.Run.ID, err)
		}
	}
	for _, g := range Groups(list, x.o.Reward) {
		for i, id := range g.Runs {
			x.advantages[id] = g.Advantages[i]
		}
	}
	return list, nil
}

// latest leaves out the runs in whose place others were made: they are no attempts.
func (x *exporter) latest(list []*Trajectory, runs []Run) []*Trajectory {
	leaves := map[string]bool{}
	for _, t := range list {
		leaves[t.Run.ID] = true
	}
	replaced := Replaced(runs, func(id string) bool { return leaves[id] })
	return slices.DeleteFunc(list, func(t *Trajectory) bool {
		gone := t.Run.Replaced || replaced[t.Run.ID]
		if gone {
			x.lose("another run was made in the place of this one")
		}
		return gone
	})
}

// retry is the Run.Relation of one that was made in the place of its parent.
const retry = "retry"

// Replaced tells in the place of which runs others were made that count, be it by way of
// some that do not.
func Replaced(runs []Run, counts func(id string) bool) map[string]bool {
	instead := map[string]string{} // of a retry, what it is in the place of
	for _, r := range runs {
		if r.Relation == retry {
			instead[r.ID] = r.Parent
		}
	}
	out := map[string]bool{}
	for id := range instead {
		if !counts(id) {
			continue
		}
		for at := instead[id]; at != "" && !out[at]; at = instead[at] {
			out[at] = true
		}
	}
	return out
}

// settle marks the rows, counts what leaves, and lists the runs that do.
func (x *exporter) settle(rows []row) []string {
	var left []string
	rewards, seen := map[*Trajectory]*Reward{}, map[*Trajectory]bool{}
	sum, n := 0.0, 0.0
	for i := range rows {
		r := &rows[i]
		x.setMark(r, rewards)
		x.card.Rows++
		if seen[r.run] {
			continue
		}
		seen[r.run] = true
		left = append(left, r.run.Run.ID)
		x.card.left(r.run, r.mark.Split)
		if t := rewards[r.run].Total; t != nil {
			sum, n = sum+*t, n+1
		}
	}
	if n > 0 {
		x.card.Reward.Mean = num(sum / n)
	}
	return left
}

// file is one file of the set.
type file struct {
	name string
	data []byte
}

func (x *exporter) files(rows []row) ([]file, error) {
	if x.o.Parquet {
		b, err := x.parquet(rows)
		return []file{{"part-00000.parquet", b}}, err
	}
	if x.o.Format == "atif" {
		var out []file
		for i := range rows {
			b, err := x.line(&rows[i])
			if err != nil {
				return nil, err
			}
			out = append(out, file{rows[i].run.Run.ID + ".json", append(b, '\n')})
		}
		return out, nil
	}
	var b bytes.Buffer
	for i := range rows {
		line, err := x.line(&rows[i])
		if err != nil {
			return nil, err
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return []file{{x.name() + ".jsonl", b.Bytes()}}, nil
}

// name is the stem of the file of rows.
func (x *exporter) name() string {
	parts := []string{x.o.Format}
	switch {
	case x.o.Pairs:
		parts = append(parts, "pairs")
	case x.o.Shape != "":
		parts = append(parts, x.o.Shape)
	case x.o.Format == "tokens":
		parts = append(parts, or(x.o.Layout, LayoutVerl))
	}
	if x.o.Role == "review" {
		parts = append(parts, "review")
	}
	return strings.Join(parts, "-")
}

// write writes the set, and then removes what an earlier one left in the folder.
func (x *exporter) write(dir string, files []file) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		d := sha256.Sum256(f.data)
		x.card.Files[f.name] = hex.EncodeToString(d[:])
	}
	old, err := x.leftovers(dir)
	if err != nil {
		return err
	}
	card, err := x.card.json()
	if err != nil {
		return err
	}
	for _, f := range append(files, file{"README.md", x.card.readme()}, file{"card.json", card}) {
		if err := replace(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	for _, name := range old {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// leftovers lists the files of an earlier set in a folder that the new one does not
// replace. What somebody changed since, or a set of another format, is not written over.
func (x *exporter) leftovers(dir string) ([]string, error) {
	src, err := os.ReadFile(filepath.Join(dir, "card.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var was Card
	if err == nil {
		err = json.Unmarshal(src, &was)
	}
	if err != nil {
		return nil, fmt.Errorf("it holds another set: %w", err)
	}
	kind := func(o Options) string { return fmt.Sprint(o.Format, o.Pairs, o.Shape, o.Role, o.Layout, o.Parquet) }
	if kind(was.Options) != kind(x.o) {
		return nil, fmt.Errorf("it holds another set, of format %s", was.Format)
	}
	var old []string
	for _, name := range sorted(was.Files) {
		if _, replaced := x.card.Files[name]; replaced {
			continue
		}
		if name != filepath.Base(name) {
			return nil, fmt.Errorf("it holds another set, which names %q", name)
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		d := sha256.Sum256(data)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case hex.EncodeToString(d[:]) != was.Files[name]:
			return nil, fmt.Errorf("it holds another set, of which %s was changed", name)
		}
		old = append(old, name)
	}
	return old, nil
}

// replace writes a file beside its place, syncs it and renames it.
func replace(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return os.Rename(f.Name(), path)
}
