//go:build linux && (amd64 || arm64)

package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

func kernelRows() []Row {
	return []Row{
		{ID: "KS01", Try: "numbers that are no calls", Expect: "ENOSYS for all; the whole table is compared in go test", Layers: "S",
			test: steps(want{do("numbers", "480", "1500"), "ENOSYS"})},
		{ID: "KS02", Try: "another system-call interface: int 0x80, x32", Expect: "killed", Layers: "S", Quick: true, test: foreign},
		{ID: "KS03", Try: "garbage in the high words of arguments", Expect: "the same verdict", Layers: "S", Quick: true,
			test: steps(want{do("sys", "ioctl", "0", "0x100005412", "0"), "EPERM"}, want{do("sys", "personality", "0x100400000"), "EPERM"},
				want{do("sys", "clone", "0x110000000"), "EPERM"}, want{do("sys", "socket", "0x10000000a", "1", "0"), noNetwork})},
		{ID: "KS04", Try: "io_uring", Expect: "EPERM", Layers: "S", test: steps(want{do("calls", "io_uring_setup", "io_uring_enter", "io_uring_register"), denied})},
		{ID: "KS05", Try: "bpf, perf, userfaultfd, modules, kexec, clocks, swap, quota, reboot", Expect: "EPERM, recorded", Layers: "S C", Quick: true,
			test: func(b *bench) error {
				list := []string{"bpf", "perf_event_open", "userfaultfd", "kexec_load", "init_module", "finit_module", "delete_module", "iopl", "ioperm",
					"modify_ldt", "kcmp", "fanotify_init", "syslog", "acct", "swapon", "swapoff", "quotactl", "reboot", "settimeofday", "clock_settime",
					"adjtimex", "memfd_secret", "lookup_dcookie", "move_pages", "vhangup"}
				if err := b.expect(sandbox.Spec{}, want{do("calls", list...), denied}); err != nil {
					return err
				}
				if b.runner.Facts().Notify && len(b.last.Denials) < 15 {
					return fmt.Errorf("only %d rows were recorded", len(b.last.Denials))
				}
				return nil
			}},
		{ID: "KS06", Try: "an unknown call", Expect: "ENOSYS", Layers: "S", test: steps(want{do("sys", "1000"), "ENOSYS"}, want{do("sys", "4000"), "ENOSYS"})},
		{ID: "KS07", Try: "a filter of its own with a listener", Expect: "EPERM", Layers: "S", test: steps(want{do("sys", "seccomp", "1", "8", "0"), "EPERM"})},
		{ID: "KS08", Try: "the runner dies with a denial pending", Expect: "the cell ends", Layers: "S",
			Untested: "needs a second runtime to kill; TestStoppedRuntimeAnswersNothing does it with go test"},
		{ID: "KS09", Try: "a million denials from 64 threads", Expect: "killed, one row", Layers: "S G",
			test: func(b *bench) error {
				if !b.runner.Facts().Notify {
					return skip{"denials are not recorded on this machine"}
				}
				late, stop := lateness()
				_, err := b.run(sandbox.Spec{}, do("flood", "1000000"))
				close(stop)
				if b.last.Limit != sandbox.LimitDenials || len(b.last.Denials) != 1 {
					return fmt.Errorf("%v, limit %v, %d rows", err, b.last.Limit, len(b.last.Denials))
				}
				if worst := <-late; worst > heldUp {
					return fmt.Errorf("the runtime was held up for %s", worst)
				}
				return nil
			}},
		{ID: "KS10", Try: "personality: executable data, no address randomization", Expect: "EPERM", Layers: "S",
			test: steps(want{do("sys", "personality", "0x0400000"), "EPERM"}, want{do("sys", "personality", "0x0040000"), "EPERM"}, want{do("sys", "personality", "0xffffffff"), "ok"})},
		{ID: "KS11", Try: "a thread from before exec that has no filter", Expect: "one thread, one filter more", Layers: "A", Quick: true, test: oneThread},
		{ID: "KS12", Try: "random system calls for minutes in a virtual machine", Expect: "no escape, no oops", Layers: "all", Untested: "needs a virtual machine that may crash"},
	}
}

// foreign runs machine code that calls the kernel in other ways.
func foreign(b *bench) error {
	if runtime.GOARCH != "amd64" {
		return skip{"there is no second interface on " + runtime.GOARCH}
	}
	end := []byte{0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05} // exit_group(0)
	for way, code := range map[string][]byte{
		"control":  nil,
		"int 0x80": {0xb8, 20, 0, 0, 0, 0xcd, 0x80},
		"x32":      {0xb8, 39, 0, 0, 0x40, 0x0f, 0x05},
	} {
		image, err := sandbox.NewImage(tiny(append(code, end...)))
		if err != nil {
			return err
		}
		res, err := b.runner.Run(b.ctx, sandbox.Spec{CallID: b.id, Argv: []string{"x"}, Helper: image}, sandbox.Discard)
		if err != nil || (way == "control") != (res.Signal == 0) || way != "control" && res.Signal != int(unix.SIGSYS) {
			return fmt.Errorf("%s: %v, signal %d", way, err, res.Signal)
		}
	}
	return nil
}

func oneThread(b *bench) error {
	h := &hooks{}
	_, err := b.runner.Run(b.ctx, sandbox.Spec{CallID: b.id, Argv: []string{"/bin/true"}}, h)
	a := h.attestation
	if err != nil || a.Threads != 1 || a.SeccompFilters != b.runner.Facts().Filters+1 || a.Seccomp != 2 || a.NoNewPrivs != 1 {
		return fmt.Errorf("%v: %+v", err, a)
	}
	return nil
}

func resourceRows() []Row {
	return []Row{
		{ID: "RS01", Try: "memory: private, shared, in files, in sockets", Expect: "only the cell is stopped, typed", Layers: "G", Quick: true, test: memory},
		{ID: "RS02", Try: "keep every processor busy", Expect: "at low priority, bounded by a control group where there is one", Layers: "G",
			test: func(b *bench) error {
				s := sandbox.Spec{Limits: sandbox.Limits{Time: 600 * time.Millisecond}}
				late, stop := lateness()
				_, err := b.shell(s, "for i in 1 2 3 4 5 6 7 8; do while :; do :; done & done; wait")
				close(stop)
				if err != nil || b.last.Limit != sandbox.LimitTime {
					return fmt.Errorf("%v, limit %v", err, b.last.Limit)
				}
				if worst := <-late; worst > heldUp {
					return fmt.Errorf("the runtime was held up for %s", worst)
				}
				return nil
			}},
		{ID: "RS03", Try: "endless output, one huge line, input left unread", Expect: "capped, marked, nobody blocks", Layers: "A", Quick: true,
			test: func(b *bench) error {
				s := sandbox.Spec{Stdin: make([]byte, 1<<20), Limits: sandbox.Limits{Output: 4096}}
				out, err := b.shell(s, "head -c 20000000 /dev/zero | tr '\\0' x; head -c 5000000 /dev/urandom >&2")
				if err != nil || b.last.Exit != 0 || len(out) > 8192 || b.last.Stdout.Omitted() < 19_000_000 || b.last.Stderr.Total != 5_000_000 {
					return fmt.Errorf("%v: exit %d, kept %d, omitted %d", err, b.last.Exit, len(out), b.last.Stdout.Omitted())
				}
				return nil
			}},
		{ID: "RS04", Try: "sleep, ignore TERM, stop itself", Expect: "killed at the deadline", Layers: "N", Quick: true,
			test: func(b *bench) error {
				s := sandbox.Spec{Limits: sandbox.Limits{Time: 200 * time.Millisecond}}
				for _, step := range []string{"sleep", "stopself"} {
					if _, err := b.run(s, do(step, "60000"), do("sleep", "60000")); b.last.Limit != sandbox.LimitTime {
						return fmt.Errorf("%s: %v, limit %v", step, err, b.last.Limit)
					}
				}
				return nil
			}},
		{ID: "RS05", Try: "descriptors, pipes, sockets, timers", Expect: "limits of the cell", Layers: "G",
			test: steps(want{do("opens", "5000"), "[0-9]+ EMFILE"}, want{do("pairs", "2000"), "[0-9]+ EMFILE"})},
		{ID: "RS06", Try: "a file without end", Expect: "stopped by its quota", Layers: "M G",
			test: func(b *bench) error {
				s := b.writing()
				s.Limits.FileSize, s.Limits.Workspace = 1<<20, 8<<20
				if _, err := b.shell(s, "exec cat /dev/zero > big"); err != nil || b.last.Limit != sandbox.LimitFileSize {
					return fmt.Errorf("%v, limit %v", err, b.last.Limit)
				}
				return nil
			}},
		{ID: "RS07", Try: "write and sync without end", Expect: "it never reaches a disk", Layers: "G M",
			test: func(b *bench) error { return b.expect(b.writing(), want{do("fsync", "/work/f", "2000"), "ok"}) }},
		{ID: "RS08", Try: "many cells, in a row and at once", Expect: "nothing is left of them", Layers: "A", test: leaks},
		{ID: "RS09", Try: "change control groups, enter another, learn its own", Expect: "nothing is there", Layers: "M S", test: steps(want{do("stat", "/sys", "/sys/fs/cgroup", "/proc/cgroups"), gone}, want{do("write", "/proc/self/cgroup"), refused},
			want{do("cat", "/proc/self/cgroup"), `([0-9]+:[^:]*:/\n)+`}, want{do("sys", "clone3", "0", "88"), "ENOSYS"},
			want{do("calls", "mount", "fsopen", "fsmount", "open_tree"), denied})},
		{ID: "RS10", Try: "raise its own limits", Expect: "EPERM", Layers: "C G", test: steps(want{do("limits"), denied})},
	}
}

func memory(b *bench) error {
	s := sandbox.Spec{Limits: sandbox.Limits{Memory: 128 << 20, Time: 20 * time.Second}}
	for _, step := range []string{"touch", "shared"} {
		got, err := b.run(s, do(step, "300"))
		if err == nil {
			return fmt.Errorf("%s of 300 MiB within 128: %q", step, got)
		}
		if b.last.Limit != sandbox.LimitMemory && b.last.Exit == 0 {
			return fmt.Errorf("%s: limit %v, exit %d: %w", step, b.last.Limit, b.last.Exit, err)
		}
	}
	s.Limits.Scratch = 1 << 20
	return b.expect(s, want{do("fill", "/tmp/big", "300"), "ENOSPC"}, want{do("sys", "memfd_create", "0", "0"), "EPERM|EFAULT"}, want{do("fill", "/dev/shm/big", "64"), "ENOSPC"})
}

// census counts what cells could leave behind.
func census() (map[string]int, error) {
	m := map[string]int{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	m["descriptors"], m["mounts"] = len(fds), strings.Count(string(mounts), "\n")
	children, _ := filepath.Glob("/proc/self/task/*/children")
	for _, c := range children {
		t, _ := os.ReadFile(c)
		m["processes"] += len(strings.Fields(string(t)))
	}
	tmp, _ := filepath.Glob(filepath.Join(os.TempDir(), "holdfast-cell*"))
	m["directories"] = len(tmp)
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/holdfast-" + strconv.Itoa(os.Getpid()) + "/*")
	for _, g := range groups {
		if st, err := os.Stat(g); err == nil && st.IsDir() {
			m["control groups"]++
		}
	}
	return m, nil
}

// leaks runs 200 cells, eight at a time.
func leaks(b *bench) error { return Soak(b.ctx, b.runner, 200, 8) }

func privilegeRows() []Row {
	return []Row{
		{ID: "PV01", Try: "read its own capabilities", Expect: "none; no_new_privs; filtered", Layers: "C", Quick: true,
			test: steps(want{do("status", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "(0+ ?){5}"}, want{do("status", "NoNewPrivs", "Seccomp"), "1 2"})},
		{ID: "PV02", Try: "get capabilities back", Expect: "no", Layers: "C", Quick: true,
			test: steps(want{do("gain"), "(EPERM|EINVAL) (EPERM|EINVAL) (EPERM|EINVAL) EPERM EPERM EPERM EPERM EINVAL EPERM"})},
		{ID: "PV03", Try: "a user namespace of its own, to mount in", Expect: "EPERM at creation", Layers: "S", Quick: true,
			test: steps(want{do("sys", "unshare", "0x10000000"), "EPERM"}, want{do("sys", "clone", "0x10000000"), "EPERM"})},
		{ID: "PV04", Try: "setgroups, setgid", Expect: "EPERM", Layers: "C", test: steps(want{do("sys", "setgroups", "0", "0"), "EPERM"}, want{do("sys", "setgid", "0"), "EPERM|EINVAL"})},
		{ID: "PV05", Try: "who owns a file that a call made", Expect: "the owner of the workspace", Layers: "N",
			test: func(b *bench) error {
				if err := b.expect(b.writing(), want{do("put", "/work/new", "x"), "ok"}); err != nil {
					return err
				}
				var dir, made unix.Stat_t
				if err := errors.Join(unix.Stat(b.work(), &dir), unix.Stat(b.inWork("new"), &made)); err != nil {
					return err
				}
				if dir.Uid != made.Uid {
					return fmt.Errorf("it belongs to %d, the workspace to %d", made.Uid, dir.Uid)
				}
				return nil
			}},
		{ID: "PV06", Try: "run as root", Expect: "another user", Layers: "A", Quick: true,
			test: func(b *bench) error {
				return b.expect(b.readOnly(), want{do("ids"), "[1-9][0-9]* [1-9][0-9]*"})
			}},
		{ID: "PV07", Try: "a cell in a cell", Expect: "refused", Layers: "S", test: steps(want{do("calls", "unshare", "mount", "pivot_root", "setns"), denied})},
	}
}
