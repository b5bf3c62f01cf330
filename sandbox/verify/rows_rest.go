//go:build linux && (amd64 || arm64)

package verify

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/probe"
	"golang.org/x/sys/unix"
)

func leakRows() []Row {
	return []Row{
		{ID: "IL01", Try: "the runtime's environment, others' command lines", Expect: "absent", Layers: "F N", Quick: true,
			test: func(b *bench) error {
				os.Setenv("HOLDFAST_VERIFY_SECRET", secret)
				defer os.Unsetenv("HOLDFAST_VERIFY_SECRET")
				got, err := b.run(sandbox.Spec{}, do("environ"), do("pids"))
				if err != nil || strings.Contains(got[0], secret) || strings.Contains(got[0], "SSH_") {
					return fmt.Errorf("%v: the environment is %q", err, got)
				}
				return b.expect(sandbox.Spec{}, want{do("pids"), "1|2"})
			}},
		{ID: "IL02", Try: "kallsyms, keys, kcore, kmsg, config, timers, modules", Expect: "nothing is there", Layers: "M", Quick: true,
			test: steps(want{do("stat", "/proc/kallsyms", "/proc/keys", "/proc/key-users", "/proc/kcore", "/proc/kmsg", "/proc/config.gz", "/proc/timer_list",
				"/proc/modules", "/proc/cpuinfo", "/proc/meminfo", "/proc/sys", "/proc/interrupts"), gone})},
		{ID: "IL03", Try: "/sys, machine-id, boot_id, host name", Expect: "absent or made up", Layers: "M N",
			test: func(b *bench) error {
				host, _ := os.Hostname()
				id, _ := os.ReadFile("/etc/machine-id")
				got, err := b.run(sandbox.Spec{}, do("hostname"), do("cat", "/etc/machine-id"))
				if err != nil || got[0] != "cell" || got[0] == host || len(id) > 0 && got[1] == string(id) {
					return fmt.Errorf("%v: %q", err, got)
				}
				return b.expect(sandbox.Spec{}, want{do("stat", "/sys", "/proc/sys/kernel/random/boot_id", "/etc/hostname"), gone})
			}},
		{ID: "IL04", Try: "keyrings of the user", Expect: "EPERM", Layers: "K S", test: steps(want{do("calls", "keyctl", "add_key", "request_key"), denied})},
		{ID: "IL05", Try: "paths of the host in the mount table", Expect: "none", Layers: "M",
			test: func(b *bench) error {
				if !b.runner.Facts().Overlay {
					return skip{"workspaces are mounted as they are on this machine"}
				}
				for _, s := range []sandbox.Spec{b.readOnly(), b.writing()} {
					if err := b.expect(s, want{do("holds", "/proc/self/mountinfo", b.dir, strings.TrimPrefix(b.dir, os.TempDir()+"/")), "none"}); err != nil {
						return err
					}
				}
				return nil
			}},
		{ID: "IL06", Try: "data and secrets of an earlier call", Expect: "none", Layers: "N M",
			test: func(b *bench) error {
				file := sandbox.SecretDir + "/token"
				s := b.writing()
				s.Secrets = []sandbox.Secret{{Name: "token", Value: []byte(secret)}}
				if err := b.expect(s, want{do("put", "/tmp/x", secret), "ok"}, want{do("put", "/dev/shm/x", secret), "ok"},
					want{do("read", file), "ok"}); err != nil {
					return err
				}
				return b.expect(b.writing(), want{do("read", "/tmp/x", "/dev/shm/x", file), gone})
			}},
		{ID: "IL07", Try: "timing, caches, shared cores", Expect: "remains", Layers: "-", Untested: "no software on a shared processor prevents it; see docs/decisions/0006"},
		{ID: "IL08", Try: "learn paths or policy from what is denied", Expect: "a fixed line", Layers: "A",
			test: func(b *bench) error {
				_, err := b.shell(b.readOnly(), "unshare -r true")
				if err != nil || b.last.Exit == 0 {
					return fmt.Errorf("%v, exit %d", err, b.last.Exit)
				}
				if l := b.last.Line(); strings.Contains(l, b.dir) || strings.Contains(l, "unshare") || b.runner.Facts().Notify && l == "" {
					return fmt.Errorf("the line is %q", l)
				}
				return nil
			}},
		{ID: "IL09", Try: "the plan, the listener, the channels of the cell", Expect: "closed", Layers: "F", Quick: true, test: steps(want{do("fds"), ""})},
		{ID: "IL10", Try: "how long the machine has been up", Expect: "made up", Layers: "N",
			test: func(b *bench) error {
				f := b.runner.Facts()
				if !f.TimeNS {
					return skip{"this kernel has no time namespaces"}
				}
				if f.Boot < 600 {
					return skip{"the machine has just been started"}
				}
				return b.expect(sandbox.Spec{}, want{do("uptime"), "[0-9]{1,3}"})
			}},
	}
}

func terminalRows() []Row {
	return []Row{
		{ID: "TT01", Try: "TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS, others", Expect: "EPERM or ENOTTY", Layers: "T S", Quick: true,
			test: func(b *bench) error {
				err := b.expect(sandbox.Spec{}, want{do("ioctl", "0x5412", "0x541C", "0x5423", "0x541D", "0x540E", "0xdead", "0x100005412"), `((EPERM|ENOTTY) ?)+`})
				if err != nil {
					return err
				}
				return b.atTerminal(want{do("ioctl", "0x5412", "0x541C", "0x5423", "0x541D", "0xdead", "0x100005412"), `((EPERM|ENOTTY) ?)+`})
			}},
		{ID: "TT02", Try: "open the terminal, consoles, pseudo-terminals", Expect: "nothing is there, or the cell's own", Layers: "M T",
			test: func(b *bench) error {
				if err := b.expect(sandbox.Spec{}, want{do("stat", "/dev/tty", "/dev/console", "/dev/pts", "/dev/ptmx", "/dev/tty0", "/dev/vcs"), gone}); err != nil {
					return err
				}
				return b.atTerminal(want{do("stat", "/dev/console", "/dev/tty0", "/dev/vcs", "/dev/pts/1"), gone}, want{do("stat", "/dev/pts/0", "/dev/tty"), "ok ok"})
			}},
		{ID: "TT03", Try: "escape sequences in output and names", Expect: "kept raw, shown inert by whoever shows them", Layers: "A",
			test: func(b *bench) error {
				out, err := b.shell(b.writing(), `printf '\033]52;c;x\007\033[2J'; touch "$(printf 'a\033[2Jb')"`)
				if err != nil || out != "\x1b]52;c;x\x07\x1b[2J" || b.last.Held() != 1 {
					return fmt.Errorf("%v: %q, %d held back", err, out, b.last.Held())
				}
				return nil
			}},
		{ID: "TT04", Try: "take the terminal's signals, read it in the background", Expect: "no terminal, or the cell's own", Layers: "T",
			test: func(b *bench) error {
				out, err := b.shell(sandbox.Spec{}, "tty; (read x < /dev/tty) 2>/dev/null || echo none")
				if err != nil || !strings.HasSuffix(out, "none\n") {
					return fmt.Errorf("%v %q", err, out)
				}
				if err := b.expect(sandbox.Spec{}, want{do("terminal"), "0"}); err != nil {
					return err
				}
				return b.sizes()
			}},
	}
}

func persistenceRows() []Row {
	return []Row{
		{ID: "PS01", Try: "cron, units, autostart, rc files, authorized_keys", Expect: "gone with the cell", Layers: "M",
			test: func(b *bench) error {
				err := b.expect(b.writing(), want{do("create", "/etc/cron.d/x", "/var/spool/cron/x", "/etc/systemd/system/x", "/root/.ssh/authorized_keys"), refused},
					want{do("put", "/home/agent/.bashrc", "x"), "ok"}, want{do("mkdir", "/home/agent/.config/systemd/user"), "ok"})
				if err != nil {
					return err
				}
				return b.expect(b.writing(), want{do("list", "/home/agent"), ""})
			}},
		{ID: "PS02", Try: "keys of the session, shared memory, queues that survive", Expect: "gone", Layers: "K N", test: survivors},
		{ID: "PS03", Try: "poison package caches", Expect: "the cell's own, gone with it", Layers: "O",
			test: func(b *bench) error {
				err := b.expect(b.writing(), want{do("mkdir", "/home/agent/.cache/pip", "/home/agent/go/pkg/mod", "/home/agent/.npm"), "ok ok ok"})
				if err != nil {
					return err
				}
				return b.expect(b.writing(), want{do("stat", "/home/agent/.cache", "/home/agent/go"), gone})
			}},
		{ID: "PS04", Try: "files that other programs run later: Makefile, package.json, conftest.py", Expect: "flagged", Layers: "O A",
			test: func(b *bench) error {
				if err := b.expect(b.writing(), want{do("put", "/work/Makefile", "x"), "ok"}, want{do("put", "/work/conftest.py", "x"), "ok"},
					want{do("put", "/work/plain.txt", "x"), "ok"}); err != nil {
					return err
				}
				for _, c := range b.last.Changes {
					if (len(c.Notes) > 0) != (c.Path != "plain.txt") {
						return fmt.Errorf("%s has notes %q", c.Path, c.Notes)
					}
				}
				return nil
			}},
		{ID: "PS05", Try: "edit the agent's instructions, policy, ledger", Expect: "absent or held back", Layers: "M O", Quick: true,
			test: func(b *bench) error {
				err := b.expect(b.writing(), want{do("put", "/work/AGENTS.md", "x"), "ok"}, want{do("mkdir", "/work/.holdfast"), "ok"}, want{do("put", "/work/.holdfast/config.yaml", "x"), "ok"})
				if err != nil || b.last.Held() < 2 {
					return errors.Join(err, fmt.Errorf("%d held back", b.last.Held()))
				}
				_, err = os.Lstat(b.inWork("AGENTS.md"))
				if err == nil {
					return errors.New("instructions were committed")
				}
				return nil
			}},
		{ID: "PS06", Try: "use what a cell kept warm has left", Expect: "every cell is used once", Layers: "N",
			test: func(b *bench) error {
				one, two := &hooks{}, &hooks{}
				for _, h := range []*hooks{one, two} {
					if _, err := b.runner.Run(b.ctx, sandbox.Spec{CallID: b.id, Argv: []string{"/bin/true"}}, h); err != nil {
						return err
					}
				}
				for n, inode := range one.attestation.Namespaces {
					if two.attestation.Namespaces[n] == inode && one.attestation.MountDigest == two.attestation.MountDigest && n == "pid" {
						return fmt.Errorf("two cells shared a %s namespace", n)
					}
				}
				return nil
			}},
	}
}

// survivors leaves queues behind for the next cell, and a key in the session of
// the thread that starts it.
func survivors(b *bench) error {
	if err := b.expect(sandbox.Spec{}, want{do("sys", "msgget", "4711", "0o1666"), "ok"}, want{do("sys", "semget", "4711", "1", "0o1666"), "ok"}); err != nil {
		return err
	}
	if err := b.expect(sandbox.Spec{}, want{do("sys", "msgget", "4711", "0o666"), "ENOENT"}, want{do("sys", "semget", "4711", "1", "0o666"), "ENOENT"}); err != nil {
		return err
	}
	var err error
	onDyingThread(func() { // the session of the others stays as it is
		if _, e := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); e != nil {
			return // where keys cannot be had, nothing can be found in them
		}
		if _, e := unix.AddKey("user", secret, []byte(secret), unix.KEY_SPEC_SESSION_KEYRING); e != nil {
			return
		}
		if got := probe.Try(do("key", secret)); got != "ok" {
			err = fmt.Errorf("control: the key is not found here: %s", got)
			return
		}
		err = b.expect(sandbox.Spec{}, want{do("key", secret), "EPERM|ENOKEY|ENOSYS"})
	})
	return err
}
