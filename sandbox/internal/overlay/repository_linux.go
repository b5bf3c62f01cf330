package overlay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxConfig bounds the files of git that are read.
const maxConfig = 1 << 20

// repository notes what the configuration of a working tree leads to. at is its
// ".git": the git directory, a link to it, or a file that names it; or the folder
// itself, if that is a repository. Its own entries are then walked, not traced.
func (g *guard) repository(tree, at string) error {
	st, err := lookAt(at)
	if err != nil || st == nil {
		return nil
	}
	dir := at
	if typeOf(st.Mode) == File {
		text, err := readSmall(at)
		if err != nil {
			return err
		}
		to, ok := strings.CutPrefix(text, "gitdir:")
		if !ok {
			return nil
		}
		dir = from(tree, strings.TrimSpace(to))
	}
	common := dir
	if text, err := readSmall(path.Join(dir, "commondir")); err != nil {
		return err
	} else if text != "" {
		common = from(dir, strings.TrimSpace(text))
	}
	trees, err := workingTrees(tree, dir, common)
	if err != nil {
		return err
	}
	for _, d := range []string{dir, common} {
		// links in a git directory outside of the workspace may lead into it
		for _, n := range []string{"config", "config.worktree", "hooks", "info/attributes", "info/grafts"} {
			if d == tree {
				continue
			}
			if err := g.trace(d, n, ".git/"+n); err != nil {
				return err
			}
		}
		if err := g.hooks(path.Join(d, "hooks")); err != nil {
			return err
		}
		for _, n := range []string{"config", "config.worktree"} {
			if err := g.configs(trees, path.Join(d, n)); err != nil {
				return err
			}
		}
	}
	for _, f := range g.user {
		if err := g.configs(trees, f); err != nil {
			return err
		}
	}
	return nil
}

// workingTrees lists where a repository's hooks and commands may be started: the
// folder it was found in, and the working tree that its configuration names.
func workingTrees(tree, dir, common string) ([]string, error) {
	trees := []string{tree}
	for _, file := range []string{path.Join(dir, "config"), path.Join(dir, "config.worktree"), path.Join(common, "config")} {
		text, err := readSmall(file)
		if err != nil {
			return nil, err
		}
		for _, s := range parseConfig(text) {
			if s.key == "core.worktree" {
				trees = append(trees, from(dir, s.value))
			}
		}
	}
	return trees, nil
}

func (g *guard) configs(trees []string, file string) error {
	for _, tree := range trees {
		if err := g.config(tree, file, 0); err != nil {
			return err
		}
	}
	return nil
}

// from is what a path in a file of git means, seen from a folder.
func from(dir, p string) string {
	if strings.HasPrefix(p, "/") {
		return path.Clean(p)
	}
	return path.Join(dir, p)
}

// hooks follows the links in a folder of hooks, wherever it lies.
func (g *guard) hooks(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // there are none, or they are not for this user to execute
	}
	defer unix.Close(fd)
	list, err := readDirectory(fd, g.left)
	if err != nil {
		return err
	}
	if g.left -= len(list); g.left < 0 {
		return errTooLarge
	}
	for _, e := range list {
		if e.kind != unix.DT_LNK {
			continue
		}
		if err := g.follow(fd, dir, e.name, ".git/hooks/"+e.name); err != nil {
			return err
		}
	}
	return nil
}

// config notes what one configuration, and those that it includes, lead to.
func (g *guard) config(tree, file string, depth int) error {
	key := tree + "\x00" + file
	if depth > maxIncludes || g.read[key] {
		return nil
	}
	g.read[key] = true
	text, err := readSmall(file)
	if err != nil {
		return err
	}
	why := file
	if rel, ok := g.relative(file); ok {
		why = rel
	}
	for _, s := range parseConfig(text) {
		for _, w := range s.files() {
			for _, p := range g.fromHome(w) {
				if err := g.setting(tree, file, s, p, s.key+" of "+why, depth); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// maxIncludes bounds how many configurations include one another.
const maxIncludes = 10

// setting notes what one path in a configuration leads to.
func (g *guard) setting(tree, file string, s setting, p, why string, depth int) error {
	base := tree
	if s.includes() {
		base = path.Dir(file)
	}
	if !strings.Contains(p, "/") && !s.onePath() && absent(path.Join(base, p)) {
		return nil // an ordinary word of a command
	}
	if err := g.trace(base, p, why); err != nil {
		return err
	}
	switch {
	case s.includes():
		return g.config(tree, from(base, p), depth+1)
	case s.key == "core.hookspath":
		if from(base, p) != g.root {
			return g.hooks(from(base, p))
		}
		for _, h := range gitHooks {
			if err := g.trace(g.root, h, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// anywhere returns what of a configuration of the user's names a file of whatever
// repository it is used in, or "": there, a new one would act at once.
func (g *guard) anywhere(file string, depth int) (string, error) {
	text, err := readSmall(file)
	if err != nil || depth > maxIncludes {
		return "", err
	}
	for _, s := range parseConfig(text) {
		for _, w := range s.files() {
			for _, p := range g.fromHome(w) {
				switch {
				case s.includes():
					if found, err := g.anywhere(from(path.Dir(file), p), depth+1); err != nil || found != "" {
						return found, err
					}
				case s.key == "core.hookspath" && !strings.HasPrefix(p, "/"),
					strings.HasPrefix(p, "./"), strings.HasPrefix(p, "../"):
					return s.key + " of " + file, nil
				}
			}
		}
	}
	return "", nil
}

// gitHooks are the names of hooks, for a workspace that is itself their folder.
var gitHooks = []string{"applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-applypatch", "post-checkout", "post-commit",
	"post-index-change", "post-merge", "post-receive", "post-rewrite", "post-update", "pre-applypatch", "pre-auto-gc", "pre-commit",
	"pre-merge-commit", "pre-push", "pre-rebase", "pre-receive", "prepare-commit-msg", "proc-receive", "push-to-checkout",
	"reference-transaction", "sendemail-validate", "update"}

func absent(p string) bool {
	st, err := lookAt(p)
	return err != nil || st == nil
}

// userConfigs lists where git is told something for every repository of this
// user.
func userConfigs() []string {
	list := []string{"/etc/gitconfig"}
	if home, err := os.UserHomeDir(); err == nil {
		list = append(list, path.Join(home, ".gitconfig"), path.Join(home, ".config/git/config"))
	}
	if x := os.Getenv("XDG_CONFIG_HOME"); strings.HasPrefix(x, "/") {
		list = append(list, path.Join(x, "git/config"))
	}
	if x := os.Getenv("GIT_CONFIG_GLOBAL"); strings.HasPrefix(x, "/") {
		list = append(list, x)
	}
	return list
}

// fromHome replaces "~/" and "~name/". Where the home of a name is not known here,
// as of users of a directory service, every folder above the workspace is taken
// for it: nothing else of theirs is in reach of a change.
func (g *guard) fromHome(p string) []string {
	name, rest, ok := strings.Cut(p, "/")
	if !ok || !strings.HasPrefix(name, "~") {
		return []string{p}
	}
	if name == "~" {
		home, err := os.UserHomeDir()
		if err != nil {
			return []string{p}
		}
		return []string{path.Join(home, rest)}
	}
	if home := homeOf(g.passwd, name[1:]); home != "" {
		return []string{path.Join(home, rest)}
	}
	list := []string{path.Join("/", rest)}
	for dir := g.root; dir != "/"; dir = path.Dir(dir) {
		list = append(list, path.Join(dir, rest))
	}
	return list
}

// homeOf finds a user's home in the text of a passwd file; "" if there is none.
func homeOf(passwd, name string) string {
	for line := range strings.Lines(passwd) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), ":"); len(f) == 7 && f[0] == name && strings.HasPrefix(f[5], "/") {
			return f[5]
		}
	}
	return ""
}

// readSmall reads a regular file of git's; "" if there is none. What it is is seen
// before it is opened for reading, since there are devices that act when they are.
func readSmall(p string) (string, error) {
	at, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP:
		return "", nil
	default:
		return "", fmt.Errorf("read %s: %w", p, err)
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil || typeOf(st.Mode) != File {
		return "", err
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", at))
	if errors.Is(err, os.ErrPermission) {
		return "", nil // nothing that this user's git could read
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", p, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", p, err)
	}
	if len(b) > maxConfig {
		return "", fmt.Errorf("%w: %s is longer than a configuration of git", ErrTooMany, p)
	}
	return string(b), nil
}

// lookAt is lstat of an absolute path; nil if nothing stands there.
func lookAt(p string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Lstat(p, &st)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, nil
	}
	return &st, err
}

// shortNames reports whether the git directory open at dir, or -1, uses SHA-1
// names. Entries with others have another form, and bytes can be both.
func shortNames(dir int) (bool, error) {
	if dir < 0 {
		return true, nil // what is made has no configuration
	}
	if st, err := lstat(dir, "commondir"); err != nil || st != nil {
		return false, err // its configuration lies elsewhere
	}
	text, err := readSmall(fmt.Sprintf("/proc/self/fd/%d/config", dir))
	if err != nil {
		return false, err
	}
	for _, s := range parseConfig(text) {
		if s.key == "extensions.objectformat" && !strings.EqualFold(s.value, "sha1") {
			return false, nil
		}
	}
	return true, nil
}
