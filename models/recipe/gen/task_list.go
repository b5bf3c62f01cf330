package main

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// fillDir puts n files, and now and then a folder, into a folder; it returns the files.
func (b *builder) fillDir(dir string, n int, folders bool) ([]string, error) {
	if n == 0 {
		return nil, b.ws.mkdir(dir)
	}
	var names []string
	for len(names) < n {
		name := b.pick(b.base)
		if b.ws.put(path.Join(dir, name), b.phrase()+"\n") == nil {
			names = append(names, name)
		}
	}
	if folders && b.chance(0.3) {
		if err := b.ws.mkdir(path.Join(dir, one(b.source, b.p["dir"]))); err != nil {
			return nil, err
		}
	}
	sort.Strings(names)
	return names, nil
}

// folderName is a folder in an answer.
func folderName(dir string) string {
	if dir == "." {
		return "The workspace"
	}
	return dir
}

// lookInto is the thought before a folder is listed.
func lookInto(dir string) string {
	if dir == "." {
		return "I list the workspace."
	}
	return "I list " + dir + "."
}

// lookFor is the thought before a folder is listed to find something.
func lookFor(dir, what string) string {
	return strings.TrimSuffix(lookInto(dir), ".") + " to find " + what + "."
}

// setDir makes a folder with n files, or leaves it out now and then.
func (b *builder) setDir(d file, n int, folders bool) ([]string, error) {
	if d.path != "." && b.chance(0.05) {
		return nil, nil
	}
	return b.fillDir(d.path, n, folders)
}

// listDir: what a folder holds.
func listDir(b *builder) error {
	d := b.saidDir(0.2, b.chance(0.5))
	t := b.line("list")
	if d.path == "." {
		d.said = b.expand(b.line("dir_here_in"))
		if !strings.Contains(t, "in {d}") && !strings.Contains(t, ")|in") && b.chance(0.3) {
			d.said = b.expand(b.line("dir_here"))
		}
	}
	if _, err := b.setDir(d, b.IntN(7), true); err != nil {
		return err
	}
	if err := b.evilName(d.path); err != nil {
		return err
	}
	b.benign(b.dress(t, slots{"d": d.said}), "list")
	r, err := b.act(lookInto(d.path), toolbox.ListFiles, "path", d.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("list "+d.path, r))
		return nil
	}
	b.gist = append(b.gist, shown(r.text)...)
	if r.text == "(empty)" {
		b.gist = []string{"empty"}
	}
	b.answer(holds(d.path, entries(r.text)))
	return nil
}

// evilName puts a file into a folder, now and then, whose name gives orders.
func (b *builder) evilName(dir string) error {
	if b.clean || !b.chance(0.07) {
		return nil
	}
	t, o := b.injection()
	t = strings.TrimSpace(t)
	if strings.ContainsAny(t, "/\n") || len(t) > 150 {
		return nil
	}
	b.evil = append(b.evil, marked{t, o.what, o})
	return b.ws.put(path.Join(dir, t), "nothing\n")
}

// countDir: how many files a folder holds.
func countDir(b *builder) error {
	d := b.saidDir(0.2, true)
	if _, err := b.setDir(d, b.IntN(8), true); err != nil {
		return err
	}
	b.benign(b.request("count", slots{"d": d.said}), "list")
	r, err := b.act(lookInto(d.path), toolbox.ListFiles, "path", d.path)
	if err != nil {
		return err
	}
	files := onlyFiles(entries(r.text))
	switch {
	case !r.ok:
		b.answer(b.failed("list "+d.path, r))
	case len(files) == 0:
		b.answer(folderName(d.path) + " holds no files: 0 files.")
	default:
		b.gist = append(b.gist, fmt.Sprintf("%d file%s", len(files), plural(len(files))))
		b.answer(counted(d.path, files))
	}
	return nil
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// listRead: the first, last, only or so ending file of a folder.
func listRead(b *builder) error {
	d := b.saidDir(0.1, true)
	n := 1 + b.IntN(4)
	names, err := b.fillDir(d.path, n-1, false)
	if err != nil {
		return err
	}
	target := file{path: b.pick(b.base)}
	if err := b.file(path.Join(d.path, target.path), b.spice(b.text(target), true)); err != nil {
		return err
	}
	names = append(names, target.path)
	sort.Strings(names)
	w := b.whichFile(names, target.path)
	if w == "" {
		return errTaken
	}
	b.benign(b.request("list_read", slots{"d": d.said, "w": w}), "read")
	b.needs(toolbox.ListFiles, toolbox.ReadFile)
	r, err := b.act(lookFor(d.path, "the "+w+" file"), toolbox.ListFiles, "path", d.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("list "+d.path, r))
		return nil
	}
	p := path.Join(d.path, target.path)
	walked := holds(d.path, upTo(entries(r.text), target.path))
	r, err = b.act(fmt.Sprintf("%s I read %s.", walked, p), toolbox.ReadFile, "path", p)
	if err != nil {
		return err
	}
	b.answer(b.quoteRead(p, r))
	return nil
}

// whichFile describes one of the sorted names, "" if nothing sets it apart.
func (b *builder) whichFile(names []string, target string) string {
	var ways []string
	if len(names) == 1 {
		ways = append(ways, "only")
	} else if names[0] == target {
		ways = append(ways, "first", "first")
	} else if names[len(names)-1] == target {
		ways = append(ways, "last", "last")
	} else if len(names) > 2 && names[1] == target {
		ways = append(ways, "second")
	}
	e, alone := path.Ext(target), true
	for _, n := range names {
		if n != target && path.Ext(n) == e {
			alone = false
		}
	}
	if alone && e != "" && len(names) > 1 {
		ways = append(ways, e[1:])
	}
	if len(ways) == 0 {
		return ""
	}
	return one(b.source, ways)
}

// exists: whether a file is in a folder.
func exists(b *builder) error {
	d := b.saidDir(0.15, true)
	names, err := b.fillDir(d.path, 1+b.IntN(6), true)
	if err != nil {
		return err
	}
	f := one(b.source, names)
	if b.chance(0.45) {
		f = b.pick(b.base)
	}
	b.benign(b.request("exists", slots{"d": d.said, "f": b.quote(f)}), "list")
	r, err := b.act(lookFor(d.path, f), toolbox.ListFiles, "path", d.path)
	if err != nil {
		return err
	}
	switch {
	case !r.ok:
		b.answer(b.failed("list "+d.path, r))
	case contains(entries(r.text), f):
		b.gist = append(b.gist, "yes")
		b.answer(holds(d.path, upTo(entries(r.text), f)) + " Yes, it is there.")
	default:
		b.gist = append(b.gist, "there is no "+f)
		b.answer(fmt.Sprintf("%s No, there is no %s.", holds(d.path, entries(r.text)), f))
	}
	return nil
}
