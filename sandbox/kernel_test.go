//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
	"golang.org/x/sys/unix"
)

// marker is an errno that no call returns: a filter below the policy answers
// it, so that a call the policy allows shows itself without happening.
const marker = 4000

// needed are the calls the probing program itself makes between two probes;
// they pass the filter below and are compared only where the policy denies.
var needed = []uint32{unix.SYS_FUTEX, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK,
	unix.SYS_WRITE, unix.SYS_EXIT_GROUP, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_TGKILL,
	unix.SYS_GETPID, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_EPOLL_PWAIT, unix.SYS_CLOCK_GETTIME,
	unix.SYS_SECCOMP, unix.SYS_READ, unix.SYS_CLOSE, unix.SYS_MINCORE, unix.SYS_GETTID}

// belowFilter lets needed calls through and answers marker to everything else.
func belowFilter() []byte {
	p := bpf.Program{{Op: 0x20, K: 0}}
	for _, nr := range needed {
		p = append(p, bpf.Insn{Op: 0x15, Jf: 1, K: nr}, bpf.Insn{Op: 0x06, K: uint32(bpf.Allow)})
	}
	return append(p, bpf.Insn{Op: 0x06, K: uint32(bpf.Errno(marker))}).Bytes()
}

func load(filter []byte) error {
	p := unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, 1, 0, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(filter)
	if e != 0 {
		return e
	}
	return nil
}

// probes are the calls that are put to the kernel: each number with arguments
// at which rules turn.
func probes() []bpf.Input {
	var list []bpf.Input
	// newer kernels let the two calls of user-space probes past every filter;
	// without a probe they end the caller with SIGILL
	skip := map[uint32]bool{335: true, 336: true}
	for _, n := range needed {
		skip[n] = true
	}
	for nr := range uint32(1024) {
		if skip[nr] {
			continue
		}
		list = append(list, bpf.Input{NR: nr})
	}
	list = append(list, bpf.Input{NR: ^uint32(0)})
	add := func(nr uint32, arg int, values ...uint64) {
		for _, v := range values {
			for _, high := range []uint64{0, 1 << 32, 0xdeadbeef << 32} {
				in := bpf.Input{NR: nr}
				in.Args[arg] = v | high
				list = append(list, in)
			}
		}
	}
	add(unix.SYS_CLONE, 0, 17, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000)
	add(unix.SYS_SOCKET, 0, 1, 2, 10, 16, 17, 38, 40)
	add(unix.SYS_SOCKETPAIR, 0, 1, 2)
	add(unix.SYS_IOCTL, 1, 0x5401, 0x5412, 0x541C, 0x541D, 0x5423, 0x541B, 0x40049409, 0xdead)
	add(unix.SYS_PRCTL, 0, 1, 4, 8, 15, 24, 28, 35, 38, 47, 0x59616d61, 0x53564d41, 99)
	add(unix.SYS_PERSONALITY, 0, 0, 8, 0xffffffff, 0x0400000, 0x0040000)
	add(unix.SYS_SETSOCKOPT, 2, 7, 8, 9, 32, 33)
	add(unix.SYS_FCNTL, 1, 0, 5, 6, 37, 1024, 1025, 1026, 1030, 1040)
	add(unix.SYS_FCHMODAT, 2, 0o644, 0o4755, 0o2755, 0o1777)
	add(unix.SYS_OPENAT, 2, 0, 0o100, 0o20000000)
	for _, flags := range []uint64{0, 0o100, 0o101, 0o20200002} {
		for _, mode := range []uint64{0o644, 0o4755, 0o2755, 0o6000} {
			in := bpf.Input{NR: unix.SYS_OPENAT}
			in.Args[2], in.Args[3] = flags, mode
			list = append(list, in)
		}
	}
	add(unix.SYS_MKNODAT, 2, 0o104755, 0, 0o100644, 0o010644, 0o020644, 0o060644, 0o140644)
	return list
}

// kernelVerdicts loads the policy above the marker filter in this thread and
// prints what the kernel makes of every probe.
func kernelVerdicts([]string) string {
	runtime.LockOSThread()
	list := probes()
	got := make([]uint32, len(list))
	if e := raw(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); e != "ok" {
		return e
	}
	below, policy := belowFilter(), bpf.New(bpf.Options{}).Compile().Bytes()
	if err := load(below); err != nil {
		return "load marker: " + err.Error()
	}
	if err := load(policy); err != nil {
		return "load policy: " + err.Error()
	}
	for i, in := range list {
		a := in.Args
		_, _, e := unix.RawSyscall6(uintptr(int32(in.NR)), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]),
			uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
		got[i] = uint32(e)
	}
	b := make([]byte, 0, 4*len(got))
	for _, g := range got {
		b = binary.LittleEndian.AppendUint32(b, g)
	}
	os.Stdout.Write(b)
	os.Exit(0)
	return ""
}

// TestKernelEqualsPolicy is the third side of the comparison in internal/bpf:
// what the kernel does with the assembled filter is what the table says.
func TestKernelEqualsPolicy(t *testing.T) {
	out := outside(t, "different")
	list := probes()
	if len(out) != 4*len(list) {
		t.Fatalf("probe printed %d bytes: %.200q", len(out), out)
	}
	policy := bpf.New(bpf.Options{})
	allowed, denied := 0, 0
	for i, in := range list {
		in.Arch = bpf.AuditArch
		got := binary.LittleEndian.Uint32([]byte(out)[4*i:])
		want := policy.Verdict(in)
		verdict := bpf.Errno(syscall.Errno(got))
		if got == marker {
			verdict, allowed = bpf.Allow, allowed+1
		} else {
			denied++
		}
		if verdict != want {
			j, _ := json.Marshal(in)
			t.Errorf("%s: kernel says %v, policy %v", j, verdict, want)
		}
	}
	if allowed < 200 || denied < 200 {
		t.Errorf("only %d allowed and %d denied: the comparison saw too little", allowed, denied)
	}
	t.Logf("%d calls compared, %d allowed", len(list), allowed)
}
