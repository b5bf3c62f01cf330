package overlay

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCompared bounds how many bytes of a working tree are compared with an index.
const maxCompared = 512 << 20

// statuses holds back each index that would have git show no change where there
// is one: git looks into a file only if its stamps are not those of the index.
func (d *drain) statuses(upper, lower int) error {
	var made map[string]*item
	for i := range d.items {
		it := &d.items[i]
		if it.Held != "" || it.Type != File || it.Op == Remove || !isIndex(components(it.Path)) || covered(d.filter.Release, it.Path) {
			continue
		}
		if made == nil {
			made = make(map[string]*item, len(d.items))
			for i := range d.items {
				made[d.items[i].Path] = &d.items[i]
			}
		}
		s := &status{ctx: d.ctx, upper: upper, lower: lower, git: path.Dir(it.Path), made: made, left: maxCompared}
		why, err := s.hides()
		if err != nil {
			return fmt.Errorf("%q: %w", it.Path, err)
		}
		if why != "" {
			it.Held, it.Notes = why, nil
		}
	}
	return nil
}

// status is what git would show by a new index when the call is committed.
type status struct {
	ctx          context.Context
	upper, lower int              // the layer and the workspace
	git          string           // the git directory, relative to both
	made         map[string]*item // changes by their path
	left         int64            // bytes that may still be read
}

// hides returns why the index would keep a change from being shown, or "".
func (s *status) hides() (string, error) {
	now, err := s.index(s.upper)
	if err != nil || now == nil {
		return "it cannot be compared with the files", err
	}
	was, err := s.index(s.lower)
	if err != nil {
		return "", err
	}
	if was == nil {
		was = &indexFile{}
	}
	for _, name := range []string{"UNTR", "FSMN"} {
		if b := now.extensions[name]; b != nil && !bytes.Equal(b, was.extensions[name]) {
			return "it tells git where it need not look for changes", nil
		}
	}
	settings, err := s.settings()
	if err != nil {
		return "", err
	}
	if settings["core.worktree"] != "" {
		return "the files that it speaks of lie elsewhere", nil
	}
	before := make(map[string]indexEntry, len(was.entries))
	for _, e := range was.entries {
		if e.stage == 0 {
			before[e.name] = e
		}
	}
	sparse := slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(settings["core.sparsecheckout"]))
	for _, e := range now.entries {
		if why, err := s.entry(e, before[e.name], sparse); err != nil || why != "" {
			return why, err
		}
	}
	return "", nil
}

// entry returns why one entry would keep a change from being shown, or "". old is
// the entry before the call, or none.
func (s *status) entry(e, old indexEntry, sparse bool) (string, error) {
	if e.stage != 0 || e.intended || e.mode&unix.S_IFMT == 0o160000 {
		return "", nil // git shows the first two as they are, and asks the repository of the third
	}
	at, err := s.file(e.name)
	if err != nil {
		return "", err
	}
	if e.assumed && !old.assumed || e.skipped && !old.skipped && (!sparse || at.st != nil) {
		return fmt.Sprintf("it has git pass over %.100q", e.name), nil
	}
	if at.st == nil || uint32(at.st.Size) != e.size || uint32(at.st.Mtim.Sec) != e.modified {
		return "", nil // git looks for itself
	}
	if at.root == s.lower && old == e {
		return "", nil // as it was before the call
	}
	if s.left -= at.st.Size; s.left < 0 {
		return fmt.Sprintf("it speaks of more than %d MiB, too much to be compared with it", maxCompared>>20), nil
	}
	same, err := s.holds(at, e.object)
	if err != nil || same {
		return "", err
	}
	return fmt.Sprintf("git would show %.100q as unchanged, which it is not", e.name), nil
}

// index reads the index in the layer or the workspace; nil if there is none that
// could be looked through.
func (s *status) index(dir int) (*indexFile, error) {
	git, _, err := folderOf(dir, s.git+"/"+gitIndex)
	if err != nil || git < 0 {
		return nil, err
	}
	defer unix.Close(git)
	st, err := lstat(git, gitIndex)
	if err != nil || st == nil || typeOf(st.Mode) != File || st.Size > maxIndex {
		return nil, err
	}
	f, err := openFile(git, gitIndex, st.Mode, dir == s.upper)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIndex))
	if err != nil {
		return nil, err
	}
	x, err := parseIndex(b)
	if err != nil {
		return nil, nil // of it nothing holds
	}
	return x, nil
}

// settings are those of the repository in the workspace, the last of each name.
func (s *status) settings() (map[string]string, error) {
	m := map[string]string{}
	for _, name := range []string{"config", "config.worktree"} {
		text, err := readSmall(fmt.Sprintf("/proc/self/fd/%d/%s/%s", s.lower, s.git, name))
		if err != nil {
			return nil, err
		}
		for _, c := range parseConfig(text) {
			m[c.key] = c.value
		}
	}
	return m, nil
}

// stands is what will stand at a path of the working tree when the call is
// committed: from the layer, or in the workspace as it is.
type stands struct {
	dir, name string // where and what, below root
	root      int
	st        *unix.Stat_t // nil if nothing does that git would compare
}

func (s *status) file(name string) (at stands, err error) {
	p := path.Join(path.Dir(s.git), name)
	at = stands{path.Dir(p), path.Base(p), s.lower, nil}
	if it := s.made[p]; it != nil && it.Held == "" {
		if it.Op == Remove {
			return at, nil
		}
		at.root = s.upper
	}
	fd, base, err := folderOf(at.root, p)
	if err != nil || fd < 0 {
		return at, err
	}
	defer unix.Close(fd)
	st, err := lstat(fd, base)
	if err == nil && st != nil && (typeOf(st.Mode) == File || typeOf(st.Mode) == Link) {
		at.st = st
	}
	return at, err
}

// folderOf opens the folder of a path below root without following a link, and
// returns the last part; -1 if there is no such folder.
func folderOf(root int, p string) (fd int, base string, err error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err = unix.Openat2(root, path.Dir(p), &how)
	switch err {
	case nil:
		return fd, path.Base(p), nil
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return -1, "", nil
	}
	return -1, "", err
}

// maxLines bounds the bytes of a file whose ends of lines are looked at.
const maxLines = 16 << 20

// holds reports whether what stands there is what an object of git holds: its
// bytes, or, as git may be told to store it, with the ends of its lines as Unix has
// them.
func (s *status) holds(at stands, object [sha1.Size]byte) (bool, error) {
	fd, base, err := folderOf(at.root, path.Join(at.dir, at.name))
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	if typeOf(at.st.Mode) == Link {
		to, err := readlink(fd, base)
		return objectName("blob", []byte(to)) == object, err
	}
	f, err := openFile(fd, base, at.st.Mode, at.root == s.upper)
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", at.st.Size)
	var kept bytes.Buffer
	to := io.Writer(h)
	if at.st.Size <= maxLines {
		to = io.MultiWriter(h, &kept)
	}
	if n, err := io.Copy(to, ended{s.ctx, io.LimitReader(f, at.st.Size)}); err != nil || n != at.st.Size {
		return false, err
	}
	if [sha1.Size]byte(h.Sum(nil)) == object {
		return true, nil
	}
	lines := bytes.ReplaceAll(kept.Bytes(), []byte("\r\n"), []byte("\n"))
	return len(lines) < kept.Len() && objectName("blob", lines) == object, nil
}

// ended is a reader that ends with its context.
type ended struct {
	ctx context.Context
	io.Reader
}

func (e ended) Read(b []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.Reader.Read(b)
}
