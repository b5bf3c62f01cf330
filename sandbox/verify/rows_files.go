//go:build linux && (amd64 || arm64)

package verify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

const (
	gone    = `(ENOENT ?)+`
	denied  = `(EPERM ?)+`
	refused = `((EROFS|EPERM|EACCES|ENOENT|EXDEV|EBADF|ENOTSUP|EOPNOTSUPP|EINVAL|ENOTTY) ?)+`
)

// hostSecrets are what a user's machine commonly holds.
var hostSecrets = []string{"/root/.ssh", "/home/agent/.ssh", "/home/agent/.aws", "/home/agent/.netrc", "/root/.bash_history",
	"/home/agent/.config", "/etc/shadow", "/etc/sudoers", "/var/log", "/var/lib", "/root", "/srv", "/mnt", "/media", "/boot", "/run"}

func fileRows() []Row {
	return []Row{
		{ID: "FS01", Try: "read keys, tokens, browser and shell history", Expect: "nothing is there", Layers: "M L", Quick: true,
			test: func(b *bench) error {
				if err := holds(b.outside("secret"), secret); err != nil { // control: it can be read here
					return err
				}
				return b.expect(b.readOnly(), want{do("stat", hostSecrets...), gone}, want{do("read", b.outside("secret")), gone})
			}},
		{ID: "FS02", Try: "read ledger, models, state, policy", Expect: "nothing is there", Layers: "M L", Quick: true,
			test: steps(want{do("stat", "/home/agent/.local", "/var/tmp", "/etc/holdfast", "/usr/../var"), gone})},
		{ID: "FS03", Try: "write programs, libraries, /etc", Expect: "EROFS", Layers: "M L", Quick: true,
			test: steps(want{do("create", "/usr/bin/x", "/etc/x", "/lib/x", "/x", "/proc/x", "/dev/x"), refused},
				want{do("write", "/etc/passwd", "/usr/bin/env"), refused}, want{do("create", "/tmp/control"), "ok"})},
		{ID: "FS04", Try: "climb out by .. and /proc/self/root", Expect: "stays in the root", Layers: "M", Quick: true,
			test: func(b *bench) error {
				up := strings.Repeat("../", 64)
				return b.expect(b.readOnly(), want{do("read", up+b.outside("secret")[1:], "/proc/self/root"+b.outside("secret"),
					"/proc/self/cwd/"+up+b.outside("secret")[1:]), gone}, want{do("cat", "/work/"+up+"work/mine"), secret})
			}},
		{ID: "FS05", Try: "a link in the workspace to a secret", Expect: "ENOENT; a commit never follows", Layers: "M O", Quick: true, test: links},
		{ID: "FS06", Try: "a folder above the workspace swapped for a link, 40 rounds", Expect: "the approved folder or refusal", Layers: "M", test: swaps},
		{ID: "FS07", Try: "the workspace replaced after approval", Expect: "refused", Layers: "A M", Quick: true, test: replaced},
		{ID: "FS08", Try: "chroot and fchdir", Expect: "EPERM", Layers: "S C", Quick: true, test: steps(want{do("calls", "chroot"), denied})},
		{ID: "FS09", Try: "pivot_root, mount, umount", Expect: "EPERM", Layers: "S C", Quick: true,
			test: steps(want{do("calls", "pivot_root", "mount", "umount2"), denied})},
		{ID: "FS10", Try: "every call of the new mount interface", Expect: "EPERM", Layers: "S C",
			test: steps(want{do("calls", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"), denied})},
		{ID: "FS11", Try: "open files by handle", Expect: "EPERM", Layers: "S C",
			test: steps(want{do("calls", "name_to_handle_at", "open_by_handle_at"), denied})},
		{ID: "FS12", Try: "hard-link a host file into the workspace", Expect: "EXDEV, EROFS or ENOENT", Layers: "M",
			test: func(b *bench) error {
				return b.expect(b.writing(), want{do("link", "/usr/bin/env", "/work/env"), "EXDEV|EPERM|EROFS"},
					want{do("link", b.outside("secret"), "/work/s"), gone}, want{do("put", "/work/a", "x"), "ok"}, want{do("link", "/work/a", "/work/b"), "ok"})
			}},
		{ID: "FS13", Try: "connect to a socket that lies in the workspace", Expect: "refused", Layers: "O S", test: socketFile},
		{ID: "FS14", Try: "docker, D-Bus, systemd, agents, X11, Wayland, audio", Expect: "nothing is there", Layers: "M", Quick: true,
			test: steps(want{do("stat", "/var/run/docker.sock", "/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private",
				"/run/user", "/tmp/.X11-unix", "/tmp/ssh-agent", "/run/containerd", "/nix/var/nix/daemon-socket"), gone})},
		{ID: "FS15", Try: "make a device and open it", Expect: "EPERM", Layers: "C M S", Quick: true,
			test: func(b *bench) error {
				return b.expect(b.writing(), want{do("mknod", "/tmp/mem", "0o020666", "257"), "EPERM"}, want{do("mknod", "/work/mem", "0o060666", "2049"), "EPERM"},
					want{do("mkfifo", "/tmp/control"), "ok"})
			}},
		{ID: "FS16", Try: "leave a set-user-id program", Expect: "EPERM; the bit is never committed", Layers: "C M O S", test: setuid},
		{ID: "FS17", Try: "su, sudo, newuidmap of the host", Expect: "no gain", Layers: "C M",
			test: func(b *bench) error {
				out, err := b.shell(sandbox.Spec{}, "for p in su sudo newuidmap ping mount; do $p -c id 2>/dev/null </dev/null; done; id -u")
				if err != nil || strings.TrimSpace(out) == "0" || strings.Contains(out, "uid=0") {
					return errors.Join(err, fmt.Errorf("got %q", out))
				}
				return b.expect(sandbox.Spec{}, want{do("status", "NoNewPrivs"), "1"})
			}},
		{ID: "FS18", Try: "write a read-only file by mapping, /proc/self/mem, cloning, O_TMPFILE", Expect: "fails; the bytes are the same", Layers: "M L", Quick: true,
			test: func(b *bench) error {
				if err := os.WriteFile(b.inWork("page"), []byte(strings.Repeat(secret, 400)), 0o644); err != nil {
					return err
				}
				err := b.expect(b.readOnly(), want{do("write", "/work/page"), refused}, want{do("mapshared", "/work/page"), "EACCES|EPERM"},
					want{do("procmem", "/work/page"), refused}, want{do("clonefile", "/work/page"), refused}, want{do("tmpfile", "/work"), refused})
				return errors.Join(err, holds(b.inWork("page"), strings.Repeat(secret, 400)))
			}},
		{ID: "FS19", Try: "splice through AF_ALG onto a read-only file", Expect: "EAFNOSUPPORT", Layers: "S",
			test: steps(want{do("sys", "socket", "38", "5", "0"), "EAFNOSUPPORT"})},
		{ID: "FS20", Try: "forge overlay attributes and whiteouts", Expect: "escaped or EPERM; the workspace is as before", Layers: "S O", test: forged},
		{ID: "FS21", Try: "pipes, sockets, deep trees, hostile names, names that clash", Expect: "left out, bounded", Layers: "O", test: hostileLayer},
		{ID: "FS22", Try: "commit to hooks, git config, CI, instructions", Expect: "held back", Layers: "O A", Quick: true, test: heldBack},
		{ID: "FS23", Try: "change a file that the user edits meanwhile", Expect: "conflict, nothing overwritten", Layers: "O", Quick: true, test: conflict},
		{ID: "FS24", Try: "fill workspace and scratch, a million files", Expect: "ENOSPC; the disk is the same", Layers: "G M",
			test: func(b *bench) error {
				s := b.writing()
				s.Limits.Workspace, s.Limits.Scratch = 2<<20, 2<<20
				err := b.expect(s, want{do("fill", "/tmp/big", "8"), "ENOSPC"}, want{do("fill", "/work/big", "8"), "ENOSPC"},
					want{do("fill", "/home/agent/big", "8"), "ENOSPC"}, want{do("files", "/tmp", "1000000"), "ENOSPC after [0-9]+"}, want{do("remove", "/work/big"), "ok"})
				return errors.Join(err, b.unchanged(b.inWork("mine")))
			}},
		{ID: "FS25", Try: "watch files of the host", Expect: "the cell's only; EPERM", Layers: "M S",
			test: steps(want{do("inotify", "/tmp"), "ok"}, want{do("inotify", "/root"), gone}, want{do("calls", "fanotify_init", "fanotify_mark"), denied})},
		{ID: "FS26", Try: "disks, kvm, fuse, tun, uinput, mem, kmsg, dri, nvidia", Expect: "nothing is there", Layers: "M",
			test: steps(want{do("stat", "/dev/sda", "/dev/vda", "/dev/kvm", "/dev/fuse", "/dev/net", "/dev/uinput", "/dev/mem", "/dev/kmsg", "/dev/input",
				"/dev/dri", "/dev/loop0", "/dev/vhost-net", "/dev/nvidia0", "/dev/tty", "/dev/console", "/dev/vcs"), gone})},
		{ID: "FS27", Try: "a mount of the host during a call", Expect: "does not appear", Layers: "M", test: propagation},
		{ID: "FS28", Try: "what earlier calls left, 20 calls", Expect: "nothing", Layers: "A",
			test: func(b *bench) error {
				for range 20 {
					if err := b.expect(b.writing(), want{do("list", "/tmp"), ""}, want{do("list", "/home/agent"), ""}, want{do("list", "/dev/shm"), ""},
						want{do("put", "/tmp/left", "x"), "ok"}); err != nil {
						return err
					}
				}
				return nil
			}},
		{ID: "FS29", Try: "chmod, chown, utimes, setxattr on what is read-only", Expect: "EROFS or EPERM", Layers: "M S",
			test: func(b *bench) error {
				return b.expect(b.readOnly(), want{do("attributes", "/work/mine"), refused}, want{do("attributes", "/usr/bin/env"), refused})
			}},
	}
}

func links(b *bench) error {
	if err := os.Symlink(b.outside("secret"), b.inWork("out")); err != nil {
		return err
	}
	err := b.expect(b.writing(), want{do("read", "/work/out"), gone}, want{do("put", "/work/out", "overwritten"), "ENOENT|EACCES"},
		want{do("symlink", "../outside/secret", "/work/up"), "ok"}, want{do("put", "/work/up", "overwritten"), ".*"})
	return errors.Join(err, b.unchanged(b.outside("secret")))
}

// swaps moves the folder that a workspace lies in for a link, again and again,
// while cells are started on it.
func swaps(b *bench) error {
	home := filepath.Join(b.dir, "home")
	if err := errors.Join(os.MkdirAll(filepath.Join(home, "w"), 0o755), os.MkdirAll(b.outside("w"), 0o755),
		os.WriteFile(b.outside("w/evil"), nil, 0o644)); err != nil {
		return err
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Rename(home, home+".old")
			os.Symlink(b.outside(""), home)
			time.Sleep(300 * time.Microsecond)
			os.Remove(home)
			os.Rename(home+".old", home)
			time.Sleep(300 * time.Microsecond)
		}
	}()
	defer func() { close(stop); <-done }()
	s := sandbox.Spec{Workspace: &sandbox.Workspace{Dir: filepath.Join(home, "w")}}
	for range 40 {
		got, err := b.run(s, do("list", "/work"))
		if err == nil && got[0] != "" {
			return fmt.Errorf("the cell saw %q", got[0])
		}
	}
	return nil
}

// replaced puts another folder in the place of an approved one.
func replaced(b *bench) error {
	dir := filepath.Join(b.dir, "w")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	s := sandbox.Spec{CallID: b.id, Argv: []string{"/bin/true"}, Workspace: &sandbox.Workspace{Dir: dir}}
	_, err := b.runner.Run(b.ctx, s, &hooks{planned: func() error { return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o755)) }})
	if err == nil {
		return errors.New("ran on another folder than the approved one")
	}
	return nil
}

// socketFile connects to a socket of the host through the workspace.
func socketFile(b *bench) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if len(b.inWork("s")) > 100 {
		return skip{"the directory for temporary files has too long a name for a socket"}
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: b.inWork("s")}), unix.Listen(fd, 4), os.Chmod(b.inWork("s"), 0o777)); err != nil {
		return err
	}
	mine, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mine)
	if err := unix.Connect(mine, &unix.SockaddrUnix{Name: b.inWork("s")}); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return b.expect(b.writing(), want{do("stat", "/work/s"), "ok"}, want{do("connect", "unix", "/work/s", "0"), "EAFNOSUPPORT|ECONNREFUSED|EACCES"})
}

func setuid(b *bench) error {
	err := b.expect(b.writing(), want{do("put", "/work/tool", "x"), "ok"}, want{do("chmod", "/work/tool", "0o4755"), "EPERM"},
		want{do("chmod", "/work/tool", "0o2755"), "EPERM"}, want{do("chmod", "/work/tool", "0o755"), "ok"},
		want{do("xattr", "/work/tool", "security.capability", "\x01\x00\x00\x02\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), "EPERM|EINVAL|EOPNOTSUPP|ENOTSUP"})
	if err != nil {
		return err
	}
	st, err := os.Stat(b.inWork("tool"))
	if err != nil {
		return err
	}
	if st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 || st.Mode().Perm() != 0o755 {
		return fmt.Errorf("committed with mode %v", st.Mode())
	}
	return nil
}

// forged makes the layer say what only the kernel should.
func forged(b *bench) error {
	if err := errors.Join(os.Mkdir(b.inWork("d"), 0o755), os.WriteFile(b.inWork("d/kept"), []byte(secret), 0o644)); err != nil {
		return err
	}
	err := b.expect(b.writing(), want{do("put", "/work/d/new", "x"), "ok"}, want{do("xattr", "/work/d", "user.overlay.opaque", "y"), ".*"},
		want{do("xattr", "/work/d", "trusted.overlay.opaque", "y"), "EPERM|EOPNOTSUPP|ENOTSUP"}, want{do("mknod", "/work/mine", "0o020000", "0"), "EPERM|EEXIST"},
		want{do("mknod", "/work/d/kept2", "0o020000", "0"), "EPERM"})
	return errors.Join(err, b.unchanged(b.inWork("d/kept")), b.unchanged(b.inWork("mine")))
}

func hostileLayer(b *bench) error {
	got, err := b.run(b.writing(), do("mkfifo", "/work/pipe"), do("put", "/work/bad\x1b[2Jname", "x"), do("put", "/work/MINE", "x"),
		do("mkdir", "/work/"+strings.Repeat("d/", 60)), do("put", "/work/fine", "x"))
	if err != nil {
		return err
	}
	if strings.Join(got, " ") != "ok ok ok ok ok" || b.last.Held() != 3 {
		return fmt.Errorf("%q, %d held back, want 3: %s", got, b.last.Held(), b.last.Why)
	}
	if _, err := os.Lstat(b.inWork("pipe")); err == nil {
		return errors.New("a named pipe was committed")
	}
	if _, err = b.run(b.writing(), do("put", "/work/never", "x"), do("mkdir", "/work/"+strings.Repeat("e/", 200))); err != nil {
		return err
	}
	if _, err := os.Lstat(b.inWork("never")); err == nil || b.last.Commit != sandbox.CommitFailed {
		return fmt.Errorf("a tree 200 deep: commit %v", b.last.Commit)
	}
	return nil
}

func heldBack(b *bench) error {
	paths := []string{".git/hooks/pre-commit", ".git/config", ".git/info/attributes", ".git/rebase-merge/git-rebase-todo", ".git/index",
		".envrc", ".vscode/tasks.json", ".github/workflows/x.yml", "AGENTS.md", ".bashrc", "hooks/post-merge", "scripts/hook.sh", "team/pre-push"}
	// what guarded names lead to: a folder of hooks, a hook, and a folder that a
	// working tree above names, as it would with core.hooksPath
	for name, to := range map[string]string{".githooks": "hooks", ".husky": "scripts"} {
		if err := os.Symlink(to, b.inWork(name)); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(b.dir, ".git"), 0o755),
		os.WriteFile(filepath.Join(b.dir, ".git/config"), []byte("[core]\n\thooksPath = work/team\n"), 0o644)); err != nil {
		return err
	}
	var list []want
	for _, p := range paths {
		list = append(list, want{do("mkdir", "/work/"+filepath.Dir(p)), "ok"}, want{do("put", "/work/"+p, "x"), "ok"})
	}
	if err := b.expect(b.writing(), append(list, want{do("put", "/work/plain", "x"), "ok"})...); err != nil {
		return err
	}
	for _, p := range paths {
		if _, err := os.Lstat(b.inWork(p)); err == nil {
			return fmt.Errorf("%s was committed", p)
		}
	}
	return holds(b.inWork("plain"), "x")
}

func conflict(b *bench) error {
	s := b.writing()
	s.CallID, s.Argv = b.id, []string{"/bin/sh", "-c", "echo theirs > other; echo theirs > mine"}
	res, err := b.runner.Run(b.ctx, s, &hooks{})
	if err != nil || res.Commit != sandbox.CommitDone { // control: without an edit it is committed
		return fmt.Errorf("control: %v, commit %v %s", err, res.Commit, res.Why)
	}
	// the tool goes on when it sees the edit, so that the two always overlap
	s.Argv[2] = "echo again > other; while grep -q theirs mine; do sleep 0.02; done; echo again > mine"
	edited := make(chan error, 1)
	res, err = b.runner.Run(b.ctx, s, &hooks{attested: func() error {
		time.AfterFunc(50*time.Millisecond, func() { edited <- os.WriteFile(b.inWork("mine"), []byte("the user's"), 0o644) })
		return nil
	}})
	if err := errors.Join(err, <-edited); err != nil || res.Commit != sandbox.CommitConflict {
		return fmt.Errorf("%v, commit %v %s", err, res.Commit, res.Why)
	}
	return errors.Join(holds(b.inWork("mine"), "the user's"), holds(b.inWork("other"), "theirs\n"))
}

// propagation mounts on the host while a cell stands.
func propagation(b *bench) error {
	if os.Getuid() != 0 {
		return skip{"needs root, to mount on the host"}
	}
	if err := unix.Mount(b.work(), b.work(), "", unix.MS_BIND, ""); err != nil {
		return skip{"cannot mount here: " + err.Error()}
	}
	defer unix.Unmount(b.work(), unix.MNT_DETACH)
	if err := errors.Join(unix.Mount("", b.work(), "", unix.MS_SHARED, ""), os.Mkdir(b.inWork("sub"), 0o755)); err != nil {
		return err
	}
	s := b.readOnly()
	s.CallID, s.Argv = b.id, []string{"/bin/sh", "-c", "ls sub"}
	res, err := b.runner.Run(b.ctx, s, &hooks{attested: func() error {
		return errors.Join(unix.Mount("none", b.inWork("sub"), "tmpfs", 0, ""), os.WriteFile(b.inWork("sub/planted"), nil, 0o644))
	}})
	unix.Unmount(b.inWork("sub"), unix.MNT_DETACH)
	if err != nil || len(res.Stdout.Bytes()) != 0 {
		return fmt.Errorf("%v: the cell saw %q", err, res.Stdout.Bytes())
	}
	return nil
}
