package overlay

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Bounds of the search for what stands behind guarded names.
const (
	maxLook  = 1_000_000 // entries of a workspace
	maxLinks = 40        // that are followed one after another
	maxNest  = 256       // folders in folders
)

// Errors that end a search at a bound.
var (
	errTooLarge = fmt.Errorf("%w: the workspace holds more than %d entries, and what acts by itself among them cannot be found", ErrTooMany, maxLook)
	errTooDeep  = fmt.Errorf("%w: the workspace holds more than %d folders in one another, and what acts by itself in them cannot be found", ErrTooMany, maxNest)
)

// guard is what stands behind guarded names of one workspace: a hook may be a
// link to a script among the sources, and a configuration may name the folder
// that hooks are taken from. What does not exist yet is known by its path,
// everything else by its identity, so that no other name for it helps.
type guard struct {
	ctx     context.Context
	root    string   // of the workspace, absolute and free of links
	within  []string // the git directory that the workspace lies in and what leads from there, or nil
	names   *names
	ids     map[fileID]string // to the guarded name that leads there
	paths   map[string]string // folded, relative to root
	user    []string          // configurations of git that hold for every repository
	passwd  string            // who has which home
	fresh   string            // what would act in a new repository, or ""
	read    map[string]bool   // configurations that were read, for a working tree each
	walked  map[fileID]bool   // folders that were walked as guarded ones
	pending []string          // guarded folders still to be walked
	left    int
}

// passwdFile is where the homes of this machine's own users stand.
var passwdFile = "/etc/passwd"

// fileID is a file of this machine, by whatever name.
type fileID struct{ dev, ino uint64 }

func idOf(st *unix.Stat_t) fileID { return fileID{st.Dev, st.Ino} }

// newGuard looks through the workspace that is open at lower.
func newGuard(ctx context.Context, lower int, f Filter) (*guard, error) {
	root, err := readlink(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", lower))
	if err != nil || !strings.HasPrefix(root, "/") {
		return nil, fmt.Errorf("locate the workspace: %q %w", root, err)
	}
	g := &guard{ctx: ctx, root: root, names: newNames(f), ids: map[fileID]string{}, paths: map[string]string{},
		read: map[string]bool{}, walked: map[fileID]bool{}, left: maxLook}
	if parts := components(root); slices.Contains(parts, ".git") {
		g.within = parts[slices.Index(parts, ".git"):]
	}
	g.user = userConfigs()
	g.passwd, _ = readSmall(passwdFile) // of whom it does not tell, the home is unknown
	for _, f := range g.user {
		if err := g.trace(path.Dir(f), path.Base(f), f); err != nil {
			return nil, err
		}
		found, err := g.anywhere(f, 0)
		if err != nil {
			return nil, err
		}
		g.fresh = cmp.Or(g.fresh, found)
	}
	if err := g.walk(lower, spot{}); err != nil {
		return nil, err
	}
	for dir := path.Dir(root); dir != root && dir != "/"; dir = path.Dir(dir) {
		if err := g.repository(dir, path.Join(dir, ".git")); err != nil {
			return nil, err
		}
	}
	return g, g.drain()
}

// drain walks the folders that links and configurations led to.
func (g *guard) drain() error {
	for len(g.pending) > 0 {
		dir := g.pending[len(g.pending)-1]
		g.pending = g.pending[:len(g.pending)-1]
		rel, inside := g.relative(dir)
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil || !inside {
			continue // it is gone, or nobody can change it from here
		}
		err = g.walk(fd, spot{rel: rel, why: rel})
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// relative returns a path as seen from the workspace, and whether it lies in it.
func (g *guard) relative(p string) (string, bool) {
	if p == g.root || g.root == "/" {
		return strings.TrimPrefix(p[len(g.root):], "/"), true
	}
	return strings.CutPrefix(p, g.root+"/")
}

// spot is where a walk stands.
type spot struct {
	rel   string // relative to the workspace
	why   string // the guarded name that everything here belongs to, or ""
	git   bool   // inside of a git directory
	bare  bool   // a repository with another name than ".git"
	depth int
}

// walk looks through a folder of the workspace.
func (g *guard) walk(dir int, at spot) error {
	if err := g.ctx.Err(); err != nil {
		return err
	}
	if at.why != "" {
		var st unix.Stat_t
		if err := unix.Fstat(dir, &st); err != nil || g.walked[idOf(&st)] {
			return err
		}
		g.walked[idOf(&st)] = true
	}
	list, err := readDirectory(dir, g.left)
	if err != nil {
		return err
	}
	if g.left -= len(list); g.left < 0 {
		return errTooLarge
	}
	if at.depth > maxNest {
		return errTooDeep
	}
	if !at.git && isRepository(holds(list)) {
		at.bare = true
		here := path.Join(g.root, at.rel)
		if err := g.repository(here, here); err != nil {
			return err
		}
	}
	for _, e := range list {
		if err := g.entry(dir, e, at); err != nil {
			return err
		}
	}
	return nil
}

// holds returns what tells whether a folder has an entry, in whatever case.
func holds(list []dirent) func(string) bool {
	return func(n string) bool {
		return slices.ContainsFunc(list, func(e dirent) bool { return strings.EqualFold(e.name, n) })
	}
}

func (g *guard) entry(dir int, e dirent, at spot) error {
	in := spot{rel: path.Join(at.rel, e.name), why: at.why, git: at.git, depth: at.depth + 1}
	if plain(e.name) == ".git" {
		in.git = true
		if err := g.repository(path.Join(g.root, at.rel), path.Join(g.root, in.rel)); err != nil {
			return err
		}
	} else if in.why == "" && (g.names.guards(in.rel, e.name, at.git) || at.bare && !repositoryData(plain(e.name))) {
		in.why = in.rel
	}
	switch {
	case e.kind == unix.DT_LNK && in.why != "":
		return g.follow(dir, path.Join(g.root, at.rel), e.name, in.why)
	case e.kind == unix.DT_REG && in.why != "":
		g.hardLink(dir, e.name, in.why)
	case e.kind != unix.DT_DIR || (at.git || at.bare) && e.name == "objects":
		return nil // data, and a great many of it
	default:
		fd, err := unix.Openat(dir, e.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
		case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES:
			return nil // gone, or nothing that this user's programs could obey either
		default:
			return fmt.Errorf("look into %q: %w", in.rel, err)
		}
		defer unix.Close(fd)
		return g.walk(fd, in)
	}
	return nil
}

// hardLink notes a guarded file that has other names.
func (g *guard) hardLink(dir int, name, why string) {
	if st, err := lstat(dir, name); err == nil && st != nil && st.Nlink > 1 {
		g.ids[idOf(st)] = why
	}
}

// follow notes what a guarded link leads to.
func (g *guard) follow(dir int, at, name, why string) error {
	target, err := readlink(dir, name)
	if err == unix.ENOENT || err == unix.EINVAL {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into %q: %w", name, err)
	}
	return g.trace(at, target, why)
}

// trace goes from a folder to a target, name by name, and notes every link on
// the way and what stands at the end, or would stand there.
func (g *guard) trace(at, target, why string) error {
	cur, todo, links := at, strings.Split(target, "/"), 0
	if strings.HasPrefix(target, "/") {
		cur = "/"
	}
	for len(todo) > 0 {
		c := todo[0]
		todo = todo[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			cur = path.Dir(cur)
			continue
		}
		next := path.Join(cur, c)
		st, err := lookAt(next)
		if err != nil && err != unix.EACCES && err != unix.ELOOP && err != unix.ENAMETOOLONG {
			return fmt.Errorf("follow %q: %w", why, err)
		}
		if err != nil || st == nil {
			if rel, ok := g.relative(path.Join(next, path.Join(todo...))); ok && rel != "" {
				g.paths[fold(rel)] = why
			}
			return nil
		}
		if typeOf(st.Mode) != Link {
			cur = next
			continue
		}
		if links++; links > maxLinks {
			return nil // as for the kernel, it leads nowhere
		}
		g.note(next, st, why)
		to, err := readlink(unix.AT_FDCWD, next)
		if err != nil {
			return fmt.Errorf("follow %q: %w", why, err)
		}
		if strings.HasPrefix(to, "/") {
			cur = "/"
		}
		todo = append(strings.Split(to, "/"), todo...)
	}
	st, err := lookAt(cur)
	if err != nil || st == nil {
		return err
	}
	g.note(cur, st, why)
	return nil
}

// note takes in one thing that a guarded name leads to, if it is of the
// workspace. The workspace itself would be everything, and says nothing.
func (g *guard) note(p string, st *unix.Stat_t, why string) {
	if rel, inside := g.relative(p); inside && rel == "" {
		return
	}
	if typeOf(st.Mode) == Dir {
		if strings.HasPrefix(g.root+"/", p+"/") {
			return // the workspace lies in it
		}
		g.pending = append(g.pending, p)
	}
	g.ids[idOf(st)] = why
}

// holds returns why a change of p is not committed, or "". low is what stands
// there, or nil.
func (g *guard) holds(p string, t Type, low *unix.Stat_t) string {
	if why := holdGit(append(slices.Clone(g.within), components(p)...), t); why != "" {
		return why
	}
	if low != nil {
		if why, ok := g.ids[idOf(low)]; ok {
			return behind(why)
		}
	} else if g.fresh != "" && plain(path.Base(p)) == ".git" {
		return fmt.Sprintf("%.100q would act in it: a person has to make this change", g.fresh)
	}
	if len(g.paths) == 0 {
		return ""
	}
	f := fold(p)
	for q := f; q != "." && q != ""; q = path.Dir(q) {
		if why, ok := g.paths[q]; ok {
			return behind(why)
		}
	}
	if t != Dir {
		for q, why := range g.paths {
			if strings.HasPrefix(q, f+"/") {
				return behind(why)
			}
		}
	}
	return ""
}

func behind(why string) string {
	return fmt.Sprintf("%.100q leads here: a person has to make this change", why)
}
