package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// code runs a command to its end and returns its exit code and what it wrote to stderr.
func code(t *testing.T, c *exec.Cmd) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), stderr.String()
}

// oneClearLine fails unless stderr ends in one line of ours, with at most a hint below.
func oneClearLine(t *testing.T, stderr, want string) {
	t.Helper()
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(stderr), "\n") {
		if strings.HasPrefix(l, "holdfast: ") {
			lines = append(lines, l)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], want) || strings.Contains(stderr, "goroutine") {
		t.Errorf("want one line with %q, got:\n%s", want, stderr)
	}
}

func workspaceWith(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFullDisk gives the ledger a file system that runs full in the middle of a run.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(mounting a small file system needs root)")
	}
	ws := workspaceWith(t, map[string]string{"relay.conf": "port: 4711\n"})
	for _, size := range []string{"size=96k", "size=200k"} {
		small := t.TempDir()
		if err := unix.Mount("tmpfs", small, "tmpfs", 0, size); err != nil {
			t.Skipf("UNTESTED(no small file system: %v)", err)
		}
		t.Cleanup(func() { unix.Unmount(small, unix.MNT_DETACH) })
		c := holdfastProcess(t, t.TempDir(), "run", "--ask", "never", "-C", ws,
			"--ledger", filepath.Join(small, "l", "ledger.db"), "what is the port in relay.conf?")
		got, stderr := code(t, c)
		if got != exitLedger {
			t.Errorf("%s: exit code %d, want %d\n%s", size, got, exitLedger, stderr)
		}
		oneClearLine(t, stderr, "")
	}
}

// TestLostAnswer gives a run an output that cannot take its answer: that is an error, which
// says where the answer is.
func TestLostAnswer(t *testing.T) {
	ws := workspaceWith(t, map[string]string{"relay.conf": "port: 4711\n"})
	run := func(t *testing.T, out *os.File) (int, string) {
		t.Helper()
		c := holdfastProcess(t, t.TempDir(), "run", "--ask", "never", "-C", ws, "what is the port in relay.conf?")
		c.Stdout = out
		return code(t, c)
	}
	t.Run("ReaderLeft", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		defer w.Close()
		got, stderr := run(t, w)
		if got != exitInternal || !strings.Contains(stderr, "holdfast log show ") {
			t.Errorf("exit code %d\n%s", got, stderr)
		}
		oneClearLine(t, stderr, "broken pipe")
	})
	t.Run("Full", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skipf("UNTESTED(no full device: %v)", err)
		}
		defer full.Close()
		got, stderr := run(t, full)
		if got != exitInternal || !strings.Contains(stderr, "holdfast log show ") {
			t.Errorf("exit code %d\n%s", got, stderr)
		}
		oneClearLine(t, stderr, "no space left")
	})
	t.Run("ClosedIsTold", func(t *testing.T) {
		for how, told := range map[string]bool{">&-": true, ">/dev/null": false} {
			c := holdfastProcess(t, t.TempDir(), "run", "--ask", "never", "-C", ws, "what is the port in relay.conf?")
			c.Path, c.Args = "/bin/bash", append([]string{"bash", "-c", `exec -a holdfast "$0" "$@" ` + how, c.Path}, c.Args[1:]...)
			got, stderr := code(t, c)
			if got != exitDone || strings.Contains(stderr, "closed, or goes nowhere") != told {
				t.Errorf("%s: exit code %d\n%s", how, got, stderr)
			}
		}
	})
}

// TestInterrupt interrupts a run once its first event is on the screen, with a signal that
// comes many times, as it does where a wrapper sends it to the whole group.
func TestInterrupt(t *testing.T) {
	data := t.TempDir()
	ws := workspaceWith(t, map[string]string{"relay.conf": "port: 4711\n"})
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		c := holdfastProcess(t, data, "run", "--ask", "never", "--temp", "5", "-C", ws, "what is the port in relay.conf?")
		stderr, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stderr)
		if lines.Scan() {
			for range 20 {
				c.Process.Signal(sig)
			}
		}
		for lines.Scan() {
		}
		timer := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
		c.Wait()
		timer.Stop()
		if got := c.ProcessState.ExitCode(); got != want {
			t.Errorf("%v: exit code %d, want %d", sig, got, want)
		}
	}
	l, err := ledger.Open(context.Background(), filepath.Join(data, "holdfast", "ledger", "ledger.db"), ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runs, err := l.Runs(context.Background())
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	for _, r := range runs {
		if r.State != ledger.Suspended {
			t.Errorf("the interrupted run is %s %s, want suspended", r.State, r.Status)
		}
	}
}

// TestNoUserNamespaces runs holdfast where no namespace may be made: it must refuse.
func TestNoUserNamespaces(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(taking user namespaces away needs root)")
	}
	ws, data := workspaceWith(t, nil), t.TempDir()
	for _, d := range []string{ws, data, filepath.Dir(ws), filepath.Dir(data)} {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	inner := holdfastProcess(t, data, "run", "--ask", "never", "-C", ws, "list the files in .")
	c := exec.Command("unshare", append([]string{"--user", "--map-root-user", "bash", "-c",
		`echo 0 > /proc/sys/user/max_user_namespaces || exit 99; exec -a holdfast "$0" "$@"`, inner.Path}, inner.Args[1:]...)...)
	c.Env = inner.Env
	got, stderr := code(t, c)
	if got == 99 || strings.Contains(stderr, "unshare:") {
		t.Skipf("UNTESTED(cannot take user namespaces away here: %s)", strings.TrimSpace(stderr))
	}
	if got != exitSandbox {
		t.Errorf("exit code %d, want %d\n%s", got, exitSandbox, stderr)
	}
	oneClearLine(t, stderr, "")
}

// TestOtherModels runs the program on generated models of two architectures. Their
// weights are random, so what they say is not tested: the run must be made, judged and
// recorded, and end in order.
func TestOtherModels(t *testing.T) {
	ws := workspaceWith(t, map[string]string{"relay.conf": "port: 4711\n"})
	for _, arch := range []string{"llama", "qwen2"} {
		t.Run(arch, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), arch+".gguf")
			if err := ggufgen.New(ggufgen.Spec{Arch: arch, Seed: 3}).WriteFile(file); err != nil {
				t.Fatal(err)
			}
			data := t.TempDir()
			got, stderr := code(t, holdfastProcess(t, data, "run", "--ask", "never", "--max-tokens", "600", "-m", file, "-C", ws, "what is the port in relay.conf?"))
			if got != exitDone && got != exitInternal && got != exitRefused && got != exitLimit && got != exitLoop && got != exitContext {
				t.Errorf("exit code %d\n%s", got, stderr)
			}
			checkLedger(t, filepath.Join(data, "holdfast", "ledger", "ledger.db"), 0)
			if got, _ := code(t, holdfastProcess(t, data, "models", "show", file)); got != exitDone {
				t.Errorf("models show: exit code %d", got)
			}
			if got, stderr := code(t, holdfastProcess(t, data, "models", "test", file)); got != exitModel || !strings.Contains(stderr, "trials failed") {
				t.Errorf("models test of random weights: exit code %d\n%s", got, stderr)
			}
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cut := filepath.Join(t.TempDir(), "cut.gguf")
			for _, n := range []int{len(whole) - 1, len(whole) / 2, 100} {
				if err := os.WriteFile(cut, whole[:n], 0o600); err != nil {
					t.Fatal(err)
				}
				got, stderr := code(t, holdfastProcess(t, data, "run", "-m", cut, "-C", ws, "x"))
				if got != exitModel {
					t.Errorf("cut to %d bytes: exit code %d\n%s", n, got, stderr)
				}
				oneClearLine(t, stderr, "cut.gguf")
			}
		})
	}
}

// TestSandboxRunSaysWhenACommandDidNotRun gives a command that no tool would take.
func TestSandboxRunSaysWhenACommandDidNotRun(t *testing.T) {
	ws := workspaceWith(t, nil)
	long := "touch ran; : " + strings.Repeat("a", 5000)
	got, stderr := code(t, holdfastProcess(t, t.TempDir(), "sandbox", "run", "--write", "-C", ws, "--", "/bin/sh", "-c", long))
	if got != exitUsage {
		t.Errorf("exit code %d\n%s", got, stderr)
	}
	oneClearLine(t, stderr, "longer than 4096")
	if _, err := os.Stat(filepath.Join(ws, "ran")); err == nil {
		t.Error("the command ran")
	}
}
