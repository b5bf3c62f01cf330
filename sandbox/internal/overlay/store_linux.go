package overlay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Store is the directory that journals and the content for undoing lie in. It
// belongs to its user alone. It is safe for concurrent use, by several
// processes too.
type Store struct {
	dir  string
	most int64        // bytes that are kept for undoing
	step func(string) // called before each step that could be the last; set by tests
}

// keptCommits bounds how many commits can be undone.
const keptCommits = 32

// OpenStore opens, or makes, the store in dir, which must be the caller's and
// closed to others. What it keeps for undoing is at most so many bytes and 32
// commits: the oldest are forgotten for the next, and one that needs more by
// itself is refused.
func OpenStore(dir string, most int64) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if typeOf(st.Mode) != Dir || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return nil, fmt.Errorf("open store: %s is not a directory that belongs to this user alone", dir)
	}
	for _, sub := range []string{"open", "done"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make store: %w", err)
		}
	}
	return &Store{dir: dir, most: most, step: func(string) {}}, nil
}

// Dir returns where the store lies.
func (s *Store) Dir() string { return s.dir }

// lockTime bounds how long anybody waits for others to commit.
const lockTime = 30 * time.Second

// Lock waits until nobody else commits, and keeps others from it until unlock is
// called: whoever compares a layer with the workspace under the lock, and commits
// it with [Request.Locked], knows that no other call's changes come in between.
// The kernel takes the lock back when a process dies.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	for end := time.Now().Add(lockTime); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, fmt.Errorf("lock store: %w", err)
		}
		if time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("lock store: another process has committed in %s for %s; it may be stopped", s.dir, lockTime)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// journal is what a commit is about to do. It is written in full before the
// first change, and says enough to take every change back.
type journal struct {
	ID       string    `json:"id"`
	Call     string    `json:"call"`
	Target   Target    `json:"target"`
	Shelf    string    `json:"shelf"`
	ShelfIno uint64    `json:"shelf_ino"`
	Made     time.Time `json:"made"`
	Items    []item    `json:"items"`
}

func newID() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	// ids of one machine sort by time
	return fmt.Sprintf("%012x%s", time.Now().UnixMilli(), hex.EncodeToString(b[:2])), nil
}

// write writes a file so that it is there as a whole or not at all. The next
// mark makes its name last.
func write(name string, b []byte) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	return err
}

// mark makes an empty file that lasts, with every name beside it.
func mark(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// settle has what was done to a workspace written out before a mark in the store says so. When
// the power fails, the mark would else stand without it. A single file system whose journal
// keeps the order of its operations needs no such care. The texts of files were written out
// when they were staged; this is about names and modes.
func (s *Store) settle(w *tree, j *journal, sh *shelf) error {
	var here, there unix.Statfs_t
	if err := errors.Join(unix.Statfs(s.dir, &here), unix.Fstatfs(w.fd, &there)); err != nil {
		return err
	}
	ordered := there.Type == unix.EXT4_SUPER_MAGIC || there.Type == unix.XFS_SUPER_MAGIC
	if ordered && here.Type == there.Type && here.Fsid == there.Fsid {
		return nil
	}
	if err := unix.Fsync(sh.fd); err != nil {
		return err
	}
	done := map[string]bool{}
	for _, it := range j.Items {
		changed := []string{path.Dir(it.Path)}
		if it.Op == Chmod {
			changed = append(changed, it.Path)
		}
		for _, p := range changed {
			if done[p] {
				continue
			}
			done[p] = true
			f, err := beneath(w.fd, p)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				continue // it went, and its parent is among the others
			}
			if err == nil {
				err = errors.Join(f.Sync(), f.Close())
			}
			if err != nil { // one that we may not read, say
				return unix.Syncfs(w.fd)
			}
		}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// The files of one transaction, in the order in which they appear.
const (
	journalFile  = "journal.json" // prepared: nothing is changed yet
	applyingFile = "applying"     // some changes may be made
	doneFile     = "done"         // all of them are
	revertedFile = "reverted"     // none of them is any more
	sizeFile     = "size"         // how many bytes it keeps, in decimal
)

func readJournal(dir string) (*journal, error) {
	b, err := os.ReadFile(filepath.Join(dir, journalFile))
	if err != nil {
		return nil, err
	}
	var j journal
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	if !strings.HasPrefix(j.Shelf, stagePrefix) || strings.Contains(j.Shelf, "/") {
		return nil, errors.New("read journal: malformed")
	}
	return &j, nil
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// room forgets the oldest commits until so many bytes more may be kept.
func (s *Store) room(need int64) error {
	if need > s.most {
		return tooMuch(s.most)
	}
	ids, total := s.Done(), int64(0)
	sizes := make([]int64, len(ids))
	for i, id := range ids {
		n, err := kept(filepath.Join(s.dir, "done", id))
		if err != nil {
			return fmt.Errorf("add up what is kept for undoing: %w", err)
		}
		sizes[i] = n
		total += n
	}
	for i, id := range ids {
		if len(ids)-i < keptCommits && total+need <= s.most {
			return nil
		}
		if err := s.forget(id); err != nil {
			return fmt.Errorf("forget what is kept for undoing: %w", err)
		}
		total -= sizes[i]
	}
	return nil
}

// forget removes a commit that can be undone. Its journal goes first: without it
// nothing will be undone from the rest.
func (s *Store) forget(id string) error {
	dir := filepath.Join(s.dir, "done", id)
	if err := os.Remove(filepath.Join(dir, journalFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

// kept returns how many bytes a commit keeps.
func kept(dir string) (int64, error) {
	b, err := os.ReadFile(filepath.Join(dir, sizeFile))
	if err == nil {
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil && n >= 0 {
			return n, nil
		}
	}
	n := int64(0) // of an older version, or not whole
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	return n, err
}

// Kept looks into the store in dir, without opening it: how many commits can be
// undone, how many bytes that takes, and how many are begun and not settled.
func Kept(dir string) (commits int, bytes int64, begun int) {
	done, _ := os.ReadDir(filepath.Join(dir, "done"))
	for _, e := range done {
		n, _ := kept(filepath.Join(dir, "done", e.Name()))
		bytes += n
	}
	open, _ := os.ReadDir(filepath.Join(dir, "open"))
	return len(done), bytes, len(open)
}
