//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// session runs a script with a terminal and returns what it showed.
func session(t *testing.T, r *sandbox.Runner, s sandbox.Spec, script string, talk func(*sandbox.Running, *bufio.Reader)) (string, sandbox.Result) {
	t.Helper()
	s.CallID, s.Argv = "x", []string{"/bin/bash", "-c", script}
	if s.PTY == nil {
		s.PTY = &sandbox.Size{Rows: 30, Cols: 100}
	}
	live, err := r.Start(t.Context(), s, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(live.Stdout())
	if talk != nil {
		talk(live, out)
	}
	b, err := io.ReadAll(out)
	if err != nil {
		t.Error(err)
	}
	res, err := live.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n"), res
}

func TestToolHasATerminal(t *testing.T) {
	r := open(t, sandbox.Config{})
	out, res := session(t, r, sandbox.Spec{}, `tty; stty size; echo $TERM; echo err >&2; test -t 0 && test -t 1 && test -t 2 && echo all
		ls -x /dev/pts; (exec </dev/tty && tty); exit 7`, nil)
	if want := "/dev/pts/0\n30 100\nxterm\nerr\nall\n0  ptmx\n/dev/tty\n"; out != want || res.Exit != 7 {
		t.Errorf("exit %d, %q, want %q", res.Exit, out, want)
	}
}

// TestTerminalIsSpokenTo types into a terminal: a line, an interruption, another size, the
// end.
func TestTerminalIsSpokenTo(t *testing.T) {
	r := open(t, sandbox.Config{})
	script := `stty -echo; trap 'stty size; w=1' WINCH; trap 'echo interrupted; i=1' INT
		echo ready; read -r x; echo "got $x"; while [ -z "$w" ]; do sleep 0.02; done; while [ -z "$i" ]; do sleep 0.02; done; cat; echo end`
	out, res := session(t, r, sandbox.Spec{}, script, func(live *sandbox.Running, out *bufio.Reader) {
		until := func(want string) {
			t.Helper()
			for {
				l, err := out.ReadString('\n')
				if err != nil {
					t.Fatalf("%v before %q", err, want)
				}
				if strings.Contains(l, want) {
					return
				}
			}
		}
		until("ready")
		io.WriteString(live.Stdin(), "hello\n")
		until("got hello")
		if err := live.Resize(sandbox.Size{Rows: 11, Cols: 22}); err != nil {
			t.Error(err)
		}
		until("11 22")
		io.WriteString(live.Stdin(), "\x03")
		until("interrupted")
		io.WriteString(live.Stdin(), "\x04")
	})
	if !strings.HasSuffix(out, "end\n") || res.Exit != 0 {
		t.Errorf("exit %d, %q", res.Exit, out)
	}
}

// TestTerminalsOfOthers looks for the runner's terminal, and makes more of the cell's own.
func TestTerminalsOfOthers(t *testing.T) {
	r := open(t, sandbox.Config{})
	out, _ := session(t, r, sandbox.Spec{}, `script -qec 'tty; stty size >/dev/null && echo works' /dev/null 2>&1 || echo none
		ls /dev/console /dev/tty0 /dev/vcs 2>/dev/null; ls /dev/pts | wc -l`, nil)
	if !strings.HasPrefix(out, "/dev/pts/1\nworks\n2\n") && !strings.Contains(out, "none") {
		t.Errorf("%q", out)
	}
	res, err := r.Run(t.Context(), sandbox.Spec{CallID: "x", Argv: []string{"/bin/sh", "-c", "ls /dev/pts /dev/tty /dev/ptmx; tty"}}, &recorder{})
	if err != nil || res.Exit == 0 || len(res.Stdout.Bytes()) > 0 && !strings.HasPrefix(string(res.Stdout.Bytes()), "not a tty") {
		t.Errorf("without a terminal: %v %q", err, res.Stdout.Bytes())
	}
}

func TestTerminalEndsWithItsCell(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 2})
	before := census(t, r)
	for range 5 {
		s := sandbox.Spec{CallID: "x", PTY: &sandbox.Size{Rows: 1, Cols: 1}, Argv: []string{"/bin/sh", "-c", "sleep 64.5 & echo on; sleep 64.5"}}
		live, err := r.Start(t.Context(), s, &recorder{})
		if err != nil {
			t.Fatal(err)
		}
		if b := make([]byte, 2); filledReader(live.Stdout(), b) != nil || string(b) != "on" {
			t.Errorf("%q", b)
		}
		live.Stop()
		if res, err := live.Wait(); err != nil || res.Limit != sandbox.LimitCancelled {
			t.Errorf("%v %+v", err, res.Limit)
		}
	}
	if after := census(t, r); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

func filledReader(r io.Reader, b []byte) error { _, err := io.ReadFull(r, b); return err }

func TestTerminalsThatAreRefused(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{CallID: "x", Argv: []string{"/bin/true"}, PTY: &sandbox.Size{Rows: 30, Cols: 100}}
	if _, err := r.Run(t.Context(), s, &recorder{}); !errors.Is(err, sandbox.ErrSpec) {
		t.Errorf("for a call that is waited for: %v", err)
	}
	for _, size := range []sandbox.Size{{}, {Rows: 1}, {Cols: 1}} {
		s.PTY = &size
		if _, err := r.Start(t.Context(), s, &recorder{}); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("%v: %v", size, err)
		}
	}
}

// TestTerminalFailsClosed lets every operation of a plan with a terminal fail: the tool never
// runs.
func TestTerminalFailsClosed(t *testing.T) {
	r := open(t, sandbox.Config{})
	met := map[stage.Code]bool{}
	var codes []stage.Code
	for i := 0; codes == nil || i < len(codes); i++ {
		s, ran := trace(t)
		s.PTY = &sandbox.Size{Rows: 24, Cols: 80}
		r.Rewrite(func(p []byte) []byte { codes = ops(p); return fail(p, i) })
		live, err := r.Start(t.Context(), s, &recorder{})
		if err == nil { // what fails behind the last word shows at the end
			io.Copy(io.Discard, live.Stdout())
			_, err = live.Wait()
		}
		met[codes[i]] = true
		if e, ok := errors.AsType[*sandbox.SetupError](err); !ok || e.Index != i || e.Op != codes[i].String() {
			t.Errorf("op %d %v: got %v", i, codes[i], err)
		}
		if ran() {
			t.Fatalf("op %d %v failed and the tool ran", i, codes[i])
		}
	}
	if !met[stage.PTY] || !met[stage.TTY] {
		t.Error("no plan had a terminal")
	}
}
