//go:build linux && (amd64 || arm64)

package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/probe"
	"golang.org/x/sys/unix"
)

func processRows() []Row {
	return []Row{
		{ID: "PR01", Try: "see, kill, open processes outside; kill(-1)", Expect: "the cell's own only", Layers: "N L", Quick: true,
			test: func(b *bench) error {
				me := fmt.Sprint(os.Getpid())
				return b.expect(sandbox.Spec{}, want{do("kill", me, "0"), "ESRCH"}, want{do("sys", "pidfd_open", me, "0"), "ESRCH"},
					want{do("pids"), "1|2"}, want{do("foreign", me), gone}, want{do("kill", "-1", "0"), "ESRCH|EPERM|ok"})
			}},
		{ID: "PR02", Try: "ptrace, process_vm_*, memory of process 1", Expect: "EPERM, ENOENT or EACCES", Layers: "S M C", Quick: true,
			test: steps(want{do("calls", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"), denied},
				want{do("read", "/proc/1/mem", "/proc/1/environ", "/proc/1/fd", "/proc/1/maps"), `((ENOENT|EACCES|EPERM) ?)+`})},
		{ID: "PR03", Try: "kill or stop process 1", Expect: "nothing, or the cell ends", Layers: "N",
			test: steps(want{do("kill", "1", "9"), "ok|EPERM|ESRCH"}, want{do("kill", "1", "19"), "ok|EPERM|ESRCH"}, want{do("ids"), ".+"})},
		{ID: "PR04", Try: "double fork, setsid, daemon", Expect: "nobody is left", Layers: "N G", Quick: true, test: daemon},
		{ID: "PR05", Try: "fork bomb", Expect: "stopped; the runtime stays responsive", Layers: "G N", test: forkBomb},
		{ID: "PR06", Try: "kill the runtime while cells run", Expect: "all dead in a second", Layers: "N",
			Untested: "needs a second runtime to kill; TestRuntimeDeathEndsCells does it with go test"},
		{ID: "PR07", Try: "the thread that started the cell ends", Expect: "the cell goes on", Layers: "A", test: endedThread},
		{ID: "PR08", Try: "execute the runtime's own program", Expect: "it is not there", Layers: "M A", Quick: true,
			test: func(b *bench) error {
				exe, err := os.Executable()
				if err != nil {
					return skip{err.Error()}
				}
				if strings.HasPrefix(exe, "/usr/") {
					return skip{"this program lies in /usr, which cells see; it refuses to be a stage without a sealed plan"}
				}
				return b.expect(sandbox.Spec{}, want{do("stat", exe), gone})
			}},
		{ID: "PR09", Try: "start through ld.so, a copy, a script, a descriptor", Expect: "the same confinement", Layers: "A S", test: everyWay},
		{ID: "PR10", Try: "every CLONE_NEW*, setns, clone3", Expect: "EPERM; clone3 ENOSYS", Layers: "S", Quick: true,
			test: func(b *bench) error {
				var list []want
				for _, f := range []string{"0x00020000", "0x02000000", "0x04000000", "0x08000000", "0x10000000", "0x20000000", "0x40000000"} {
					list = append(list, want{do("sys", "clone", f), "EPERM"}, want{do("sys", "unshare", f), "EPERM"})
				}
				return b.expect(sandbox.Spec{}, append(list, want{do("calls", "setns"), denied}, want{do("sys", "clone3", "0", "0"), "ENOSYS"})...)
			}},
		{ID: "PR11", Try: "prctl: dumpable, memory map, tracer, securebits, ambient", Expect: "refused", Layers: "S C",
			test: steps(want{do("prctl", "4", "8", "24", "28", "35", "0x59616d61"), denied}, want{do("sys", "prctl", "38", "0", "0", "0", "0"), "EINVAL"})},
		{ID: "PR12", Try: "stall in a pipe and a lock", Expect: "the call ends at its deadline", Layers: "N M", test: stall},
		{ID: "PR13", Try: "forge the exit status on every descriptor", Expect: "there is none to write to", Layers: "F", Quick: true,
			test: func(b *bench) error {
				out, err := b.shell(sandbox.Spec{}, "for i in 3 4 5 6 7 8 9; do (echo forged >&$i) 2>/dev/null; done; exit 7")
				if err != nil || out != "" || b.last.Exit != 7 {
					return fmt.Errorf("%v: exit %d, %q", err, b.last.Exit, out)
				}
				return nil
			}},
		{ID: "PR14", Try: "raise priority, real-time scheduling", Expect: "EPERM", Layers: "C G",
			test: steps(want{do("sched"), "(EACCES|EPERM) EPERM EPERM"})},
		{ID: "PR15", Try: "leave a core dump with secrets", Expect: "no core", Layers: "G M",
			test: func(b *bench) error {
				out, err := b.shell(b.writing(), "ulimit -c; ulimit -c unlimited 2>/dev/null; kill -SEGV $$")
				if err != nil || b.last.Signal != int(unix.SIGSEGV) || !strings.HasPrefix(out, "0\n") {
					return fmt.Errorf("%v: signal %d, %q", err, b.last.Signal, out)
				}
				l, err := os.ReadDir(b.work())
				if err != nil || len(l) != 1 {
					return fmt.Errorf("%v: left %v", err, l)
				}
				return nil
			}},
	}
}

// marked counts processes of this machine whose command line holds a text.
func marked(text string) int {
	n := 0
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range list {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(strings.ReplaceAll(string(b), "\x00", " "), text) {
			n++
		}
	}
	return n
}

func daemon(b *bench) error {
	seconds := fmt.Sprintf("%d", 100000+os.Getpid())
	out, err := b.shell(sandbox.Spec{}, "(setsid sleep "+seconds+" >/dev/null 2>&1 &) ; (sleep "+seconds+" & ) >/dev/null 2>&1; echo started")
	if err != nil || out != "started\n" {
		return fmt.Errorf("%v %q", err, out)
	}
	deadline := time.Now().Add(100 * time.Millisecond)
	for marked("sleep "+seconds) > 0 {
		if time.Now().After(deadline) {
			return errors.New("a process outlived its call")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// forkBomb runs one while measuring how late this program's own clock is.
func forkBomb(b *bench) error {
	s := sandbox.Spec{Limits: sandbox.Limits{Time: 1500 * time.Millisecond, Processes: 64}}
	late, stop := lateness()
	_, err := b.shell(s, "b() { b | b & }; b; sleep 10")
	close(stop)
	if err != nil {
		return err
	}
	if worst := <-late; worst > heldUp {
		return fmt.Errorf("the runtime was held up for %s", worst)
	}
	_, err = b.shell(sandbox.Spec{}, "true")
	return err
}

// heldUp is the delay of the runtime's own clock that counts as being held up.
// It is far above what a quiet machine shows, since a busy one is late by itself.
const heldUp = 5 * time.Second

// lateness measures the longest delay of a one-millisecond tick until stop is
// closed.
func lateness() (<-chan time.Duration, chan struct{}) {
	out, stop := make(chan time.Duration, 1), make(chan struct{})
	go func() {
		var worst time.Duration
		for last := time.Now(); ; {
			select {
			case <-stop:
				out <- worst
				return
			case <-time.After(time.Millisecond):
			}
			now := time.Now()
			worst = max(worst, now.Sub(last)-time.Millisecond)
			last = now
		}
	}()
	return out, stop
}

// endedThread starts a cell from a thread that then ends, by leaving its
// goroutine locked.
func endedThread(b *bench) error {
	var got []string
	var err error
	var wg sync.WaitGroup
	started := make(chan struct{})
	wg.Go(func() {
		onDyingThread(func() { close(started) })
		got, err = b.run(sandbox.Spec{}, do("sleep", "50"))
	})
	<-started
	wg.Wait()
	if err != nil || got[0] != "survived" {
		return fmt.Errorf("%v %q", err, got)
	}
	return nil
}

func everyWay(b *bench) error {
	const wanted = "NoNewPrivs:\t1\nSeccomp:\t2\n"
	const look = "-E '^(NoNewPrivs|Seccomp):' /proc/self/status"
	for way, script := range map[string]string{
		"a copy":       "cp /usr/bin/grep /tmp/g && exec /tmp/g " + look,
		"a script":     "echo '#!/bin/sh' > /tmp/s && echo \"grep " + look + "\" >> /tmp/s && chmod +x /tmp/s && exec /tmp/s",
		"a descriptor": "exec 5</usr/bin/grep; exec /proc/self/fd/5 " + look,
		"the linker":   "for l in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do [ -e $l ] && exec $l /usr/bin/grep " + look + "; done",
	} {
		if out, err := b.shell(sandbox.Spec{}, script); err != nil || out != wanted {
			return fmt.Errorf("by %s: %v %q %s", way, err, out, b.last.Stderr.Bytes())
		}
	}
	return nil
}

func stall(b *bench) error {
	if err := unix.Mkfifo(b.inWork("pipe"), 0o666); err != nil {
		return err
	}
	for _, script := range []string{"cat pipe", "mkfifo /tmp/p; cat /tmp/p", "trap '' TERM INT HUP; while :; do sleep 1; done", "kill -STOP $$; sleep 9"} {
		s := b.readOnly()
		s.Limits.Time = 200 * time.Millisecond
		begin := time.Now()
		if _, err := b.shell(s, script); err != nil || b.last.Limit != sandbox.LimitTime {
			return fmt.Errorf("%s: %v, limit %v", script, err, b.last.Limit)
		}
		if took := time.Since(begin); took > 8*time.Second {
			return fmt.Errorf("%s: took %s", script, took)
		}
	}
	return nil
}

const noNetwork = "EAFNOSUPPORT"

// noSocket is a row about networks in a cell that was given none: what needs a
// socket ends at its first step.
func noSocket(id, try, expect string, list ...probe.Step) Row {
	return Row{ID: id, Try: try, Expect: expect + " (the network is off)", Layers: "N S", test: func(b *bench) error {
		var w []want
		for _, s := range list {
			w = append(w, want{s, noNetwork})
		}
		return b.expect(sandbox.Spec{}, w...)
	}}
}

func networkRows() []Row {
	loop := noSocket("NW10", "reach programs of the host: loopback, abstract sockets, X0", "unreachable",
		do("connect", "tcp", "127.0.0.1", "6000"), do("connect", "unix", "\x00/tmp/.X11-unix/X0", "0"), do("connect", "udp", "127.0.0.1", "53"))
	loop.Quick = true
	first := noSocket("NW01", "TCP and UDP with the network off", "EAFNOSUPPORT, recorded", do("connect", "tcp", "1.1.1.1", "443"), do("connect", "udp", "8.8.8.8", "53"))
	first.Quick = true
	plain := first.test
	first.test = func(b *bench) error {
		if err := plain(b); err != nil {
			return err
		}
		if b.runner.Facts().Notify && (len(b.last.Denials) != 1 || b.last.Denials[0].Call != "socket" || b.last.Denials[0].Count != 2) {
			return fmt.Errorf("recorded %+v", b.last.Denials)
		}
		return nil
	}
	return []Row{
		first,
		noSocket("NW02", "an IP address directly, a resolver of its own", "refused", do("connect", "tcp", "93.184.216.34", "80"), do("connect", "udp", "8.8.8.8", "53")),
		noSocket("NW03", "another port, another name", "refused", do("connect", "tcp", "1.1.1.1", "81"), do("connect", "tcp", "9.9.9.9", "443")),
		{ID: "NW04", Try: "host names in strange forms", Expect: "one form for decision and dial", Layers: "X", test: strangeNames},
		{ID: "NW05", Try: "names that look like allowed ones", Expect: "refused", Layers: "X", test: similarNames},
		noSocket("NW06", "carry data out through name queries", "no query leaves", do("connect", "udp", "1.1.1.1", "53"), do("connect", "tcp", "1.1.1.1", "853")),
		noSocket("NW07", "rebinding to loopback, metadata, private addresses", "refused", do("connect", "tcp", "169.254.169.254", "80"), do("connect", "tcp", "10.0.0.1", "80")),
		noSocket("NW08", "another name inside TLS than outside", "refused", do("connect", "tcp", "1.1.1.1", "443")),
		noSocket("NW09", "redirects, relays in the cell", "refused", do("connect", "tcp", "127.0.0.1", "8080")),
		loop,
		{ID: "NW11", Try: "every socket family and type, high words", Expect: "EAFNOSUPPORT", Layers: "S C", Quick: true, test: steps(want{do("families"), noNetwork})},
		{ID: "NW12", Try: "high-word domain, io_uring", Expect: "the same; EPERM", Layers: "S",
			test: steps(want{do("sys", "socket", "0x100000002", "1", "0"), noNetwork}, want{do("calls", "io_uring_setup", "io_uring_enter", "io_uring_register"), denied})},
		noSocket("NW13", "listen where host or other cells could reach it", "refused", do("sys", "socket", "2", "1", "0"), do("sys", "socket", "10", "1", "0")),
		{ID: "NW14", Try: "receive a socket of the host", Expect: "no channel", Layers: "F",
			test: steps(want{do("fds"), ""}, want{do("sys", "socketpair", "1", "2", "0", "0"), "EPERM"})},
		{ID: "NW15", Try: "use an inherited socket", Expect: "none is inherited", Layers: "F", Quick: true, test: inherited},
		{ID: "NW16", Try: "ten thousand connections", Expect: "bounded", Layers: "X G", test: func(b *bench) error {
			got, err := b.run(sandbox.Spec{}, do("sockets", "10000"))
			if err == nil && got[0] == "0 made" || err != nil && b.last.Limit == sandbox.LimitDenials {
				return nil
			}
			return fmt.Errorf("%v %q, limit %v", err, got, b.last.Limit)
		}},
		noSocket("NW17", "upload more than allowed", "nothing leaves", do("connect", "tcp", "1.1.1.1", "443")),
		{ID: "NW18", Try: "edit the policy during a call", Expect: "frozen for the call", Layers: "A", test: frozenPolicy},
		noSocket("NW19", "an empty list of hosts", "denies all", do("connect", "tcp", "1.1.1.1", "443")),
		noSocket("NW20", "reach another cell's listener", "refused", do("connect", "tcp", "198.18.0.1", "80")),
	}
}

// inherited keeps a connection open in this program while a cell starts.
func inherited(b *bench) error {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0) // without close-on-exec, as C libraries leave them
	if err != nil {
		return err
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	return b.expect(sandbox.Spec{}, want{do("fds"), ""})
}
