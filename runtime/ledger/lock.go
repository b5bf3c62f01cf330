package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// locks are byte-range locks on one file beside the database, so that the kernel
// frees a run when its owner dies. They belong to the open file, not the process:
// two handles in one process exclude each other as two processes do.
type locks struct {
	f *os.File // nil in a read-only ledger without a lock file
}

const (
	setupByte = 0 // creating, checking and migrating the file
	firstRun  = 1
)

func openLocks(path string, create bool) (*locks, error) {
	flags := unix.O_RDONLY
	if create {
		flags = unix.O_RDWR | unix.O_CREAT
	}
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, fs.ErrNotExist) && !create {
		return &locks{}, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	l := &locks{f: os.NewFile(uintptr(fd), path)}
	if err := checkOwn(path, false); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *locks) close() {
	if l.f != nil {
		l.f.Close()
	}
}

// offset places a run's lock by 62 of its random bits.
func offset(run []byte) int64 {
	return firstRun + int64(binary.BigEndian.Uint64(run[8:])&(1<<62-1))
}

// try takes the lock on one byte, or reports false if another holds it.
func (l *locks) try(at int64) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	err := unix.FcntlFlock(l.f.Fd(), unix.F_OFD_SETLK, &lk)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.f.Name(), err)
	}
	return true, nil
}

func (l *locks) release(at int64) {
	lk := unix.Flock_t{Type: unix.F_UNLCK, Start: at, Len: 1}
	unix.FcntlFlock(l.f.Fd(), unix.F_OFD_SETLK, &lk) // cannot fail on a range we hold
}

// held reports whether another open file holds the lock.
func (l *locks) held(at int64) (bool, error) {
	if l.f == nil {
		return false, nil
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	if err := unix.FcntlFlock(l.f.Fd(), unix.F_OFD_GETLK, &lk); err != nil {
		return false, fmt.Errorf("query lock %s: %w", l.f.Name(), err)
	}
	return lk.Type != unix.F_UNLCK, nil
}

// setup waits for the setup lock, at most as long as a writer waits for the database.
func (l *locks) setup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := l.try(setupByte)
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another process to set up the ledger: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}
