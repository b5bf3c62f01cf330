package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// failSyncs has every sync of the process fail from now on, as on a disk that reports an
// error: the kernel answers them with EIO.
func failSyncs() error {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: load, K: 0}, // number of the system call
		{Code: equal, K: unix.SYS_FSYNC, Jt: 1},
		{Code: equal, K: unix.SYS_FDATASYNC, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return fmt.Errorf("install filter: %w", errno)
	}
	return nil
}

// TestFailedSync lets every sync of a writer fail from some event on. That event must not
// be acknowledged, nor any after it, and nothing that was may be lost.
func TestFailedSync(t *testing.T) {
	path := newPath(t)
	p := startChild(t, path, childEnv+"_EIO=1")
	p.read(1 << 30)
	p.cmd.Wait()
	last := p.log[len(p.log)-1]
	if strings.Contains(last, "install filter") {
		t.Skip("no filter can be installed here: ", last)
	}
	if !strings.HasPrefix(last, "error append run.start") || !strings.Contains(last, "unusable") {
		t.Fatalf("the writer ended with %q", last)
	}
	l := open(t, path, ledger.Options{})
	if acked := checkLog(t, l, p.log); acked < 20 {
		t.Errorf("only %d events were acknowledged before", acked)
	}
	whole(t, l)
	recoverAll(t, l) // what was not acknowledged may be there or not
}
