package overlay_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// changing are the system calls by which a commit changes files; those that are
// the same on all machines.
var changing = []uint32{unix.SYS_RENAMEAT2, unix.SYS_RENAMEAT, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_FSETXATTR, unix.SYS_FTRUNCATE,
	unix.SYS_FSYNC, unix.SYS_WRITE, unix.SYS_COPY_FILE_RANGE, unix.SYS_SENDFILE, unix.SYS_SPLICE}

// supervised is a filter that asks a supervisor before each changing call, and
// before each openat that may make a file or shorten one. Returns its listener.
func supervised() (int, error) {
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	eq := func(k uint32, jt uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: jt, K: k}
	}
	f := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for _, nr := range changing {
		f = append(f, eq(nr, 1), unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 1}, ret(unix.SECCOMP_RET_USER_NOTIF))
	}
	f = append(f, eq(unix.SYS_OPENAT, 1), ret(unix.SECCOMP_RET_ALLOW),
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16 + 2*8},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: unix.O_CREAT | unix.O_TRUNC},
		ret(unix.SECCOMP_RET_USER_NOTIF), ret(unix.SECCOMP_RET_ALLOW))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	p := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	// every thread of the process, or none
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(f)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

// watched commits, recovers or undoes in the world at dir, and asks its parent
// before each call that changes files. It never returns.
func watched(dir, what string) {
	w := world{dir}
	s, err := overlay.OpenStore(w.store(), most)
	if err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	t := &testing.T{}
	r := w.request(t, w.read(t, overlay.Filter{}))
	fd, err := supervised()
	if err == nil {
		// sendmsg is not among what is asked about
		err = unix.Sendmsg(3, []byte{1}, unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	unix.Close(fd)
	switch what {
	case "commit":
		_, err = s.Commit(context.Background(), r)
	case "recover":
		_, err = s.Recover(context.Background())
	case "undo":
		err = s.Undo(context.Background(), s.Done()[0])
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

const (
	notifRecv = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
)

// killAt runs what in the world w and kills it before its changing call n. It
// reports whether it was killed.
func killAt(t *testing.T, w world, what string, n int) bool {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	var out strings.Builder
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.ExtraFiles, cmd.Stdout = []string{dying, w.dir, what}, []*os.File{theirs}, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	b, oob := make([]byte, 8), make([]byte, 64)
	_, k, _, _, err := unix.Recvmsg(pair[0], b, oob, unix.MSG_CMSG_CLOEXEC)
	msgs, perr := unix.ParseSocketControlMessage(oob[:k])
	if err != nil || perr != nil || len(msgs) != 1 {
		cmd.Wait()
		t.Skipf("UNTESTED(cannot supervise system calls: %v %s)", errors.Join(err, perr), out.String())
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	killed := false
	for count := 0; ; count++ {
		p := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, -1); err == unix.EINTR {
			count--
			continue
		}
		if p[0].Revents&unix.POLLIN == 0 {
			break // nobody is left to ask
		}
		var q [80]byte
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), notifRecv, uintptr(unsafe.Pointer(&q))); e != 0 {
			continue
		}
		if count == n {
			killed = true
			cmd.Process.Kill()
			break
		}
		var a [24]byte
		copy(a[:8], q[:8])
		binary.NativeEndian.PutUint32(a[20:], unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE)
		unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), notifSend, uintptr(unsafe.Pointer(&a)))
	}
	if err := cmd.Wait(); !killed && err != nil {
		t.Fatalf("%s: %v %s", what, err, out.String())
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); killed && (!ok || s.Signal() != syscall.SIGKILL) {
		t.Fatalf("%s: not killed: %v", what, cmd.ProcessState)
	}
	return killed
}

// smallChanges has one change of each kind, to keep the number of calls small.
var smallChanges = map[string]string{"old": "new", "gone": "whiteout", "fresh/one": "1", "link": ">keep", "swap": "now a file"}

const afterSmall = "dir/ dir/a=a dir/b=b dir/deep/ dir/deep/c=c fresh/ fresh/one=1 keep=keep kind=file link>keep old=new opaque/ opaque/hidden=h " +
	"opaque/same=same swap=now a file"

// TestKilledAtEverySystemCall kills a process that commits before each call that
// changes any file, then the one that recovers in the same way: afterwards all
// of the changes are made or none, whatever was killed when.
func TestKilledAtEverySystemCall(t *testing.T) {
	none, all, recoveries := 0, 0, 0
	for n, more := 0, true; more; n++ {
		w := newWorld(t, smallChanges)
		was := look(t, w.work())
		more = killAt(t, w, "commit", n)
		for m := n % 7; killAt(t, w, "recover", m); m += 7 { // each one goes on where the last was killed
			recoveries++
		}
		if found, err := w.open(t).Recover(t.Context()); err != nil || len(found) > 0 {
			t.Fatalf("call %d: %v %v", n, found, err)
		}
		switch got := look(t, w.work()); got {
		case was:
			none++
		case afterSmall:
			all++
		default:
			t.Fatalf("killed before call %d:\n%s", n, got)
		}
		for _, left := range []string{"open"} {
			if list, _ := os.ReadDir(filepath.Join(w.store(), left)); len(list) > 0 {
				t.Errorf("call %d: left in the store: %v", n, list)
			}
		}
		if all > 0 && more { // an undo of what was recovered
			for k := n % 5; killAt(t, w, "undo", k); k += 5 {
				if _, err := w.open(t).Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := look(t, w.work()); got == was {
					break
				} else if got != afterSmall {
					t.Fatalf("an undo was killed:\n%s", got)
				}
			}
			if got := look(t, w.work()); got != was {
				t.Errorf("call %d: after the undo: %s", n, got)
			}
		}
	}
	if none < 30 || all < 3 || recoveries < 20 {
		t.Errorf("%d times nothing, %d times everything, %d recoveries killed", none, all, recoveries)
	}
	t.Logf("killed before %d calls, and %d recoveries besides: %d times nothing was changed, %d times everything", none+all-1, recoveries, none, all)
}
