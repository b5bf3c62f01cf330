package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// A test binary started with this variable set is a writer of the ledger it names.
const childEnv = "LEDGER_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child appends whole calls until it is killed or an append fails. It prints a line
// after each acknowledged event, "run seq", and before each effect "effect run call".
func child(path string) error {
	if limit := os.Getenv(childEnv + "_FSIZE"); limit != "" {
		n, err := strconv.ParseUint(limit, 10, 64)
		if err != nil {
			return err
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
	}
	ctx := context.Background()
	l, err := ledger.Open(ctx, path, ledger.Options{Build: "child"})
	if err != nil {
		return err
	}
	if at := os.Getenv(childEnv + "_KILL"); at != "" {
		return killedChild(ctx, l, at)
	}
	if at := os.Getenv(childEnv + "_ROTATE"); at != "" {
		return rotatingChild(ctx, l, path, at)
	}
	for i := 0; ; i++ {
		if i == 1 && os.Getenv(childEnv+"_EIO") != "" {
			if err := failSyncs(); err != nil {
				return err
			}
		}
		r, err := l.Begin(ctx, ledger.RunInfo{Task: "child"})
		if err != nil {
			return err
		}
		if err := childRun(ctx, r, i); err != nil {
			if _, again := r.Append(ctx, say("again")); again == nil {
				return fmt.Errorf("append succeeded after %v", err)
			}
			return err
		}
		r.Close()
	}
}

func childRun(ctx context.Context, r *ledger.Run, i int) error {
	text := strings.Repeat("some text of a tool ", 40)
	put := func(e agent.Event) (int64, error) {
		n, err := r.Append(ctx, e)
		if err == nil {
			fmt.Println("ack", r.ID(), n)
		}
		return n, err
	}
	if _, err := put(agent.Event{Body: &agent.RunStart{Task: agent.Text(text)}}); err != nil {
		return err
	}
	for k := range 5 {
		c := agent.ToolCall{ID: fmt.Sprint(r.ID(), k), Tool: "t", Args: "{}"}.Digest()
		v, err := put(verdict(c, agent.Allow))
		if err != nil {
			return err
		}
		d, err := put(decision(c, v, agent.Allow))
		if err != nil {
			return err
		}
		if _, err = put(start(c, d)); err != nil {
			return err
		}
		fmt.Printf("effect %s %x\n", r.ID(), c)
		if _, err = put(agent.Event{Call: c, Ref: d, Body: &agent.CallEnd{Status: agent.CallOK, Out: agent.Text(text)}}); err != nil {
			return err
		}
	}
	_, err := put(finish())
	return err
}

// writer is a running child.
type writerProc struct {
	cmd *exec.Cmd
	out *bufio.Scanner
	log []string
}

func startChild(t testing.TB, path string, env ...string) *writerProc {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), childEnv+"="+path), env...)
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return &writerProc{cmd: c, out: bufio.NewScanner(pipe)}
}

// read takes up to n lines of the child's output, fewer if it ends.
func (p *writerProc) read(n int) {
	for range n {
		if !p.out.Scan() {
			return
		}
		p.log = append(p.log, p.out.Text())
	}
}

// kill ends the child at once and takes what it had still written.
func (p *writerProc) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.read(1 << 30)
	p.cmd.Wait()
}

// checkLog reports each acknowledged event that is missing and each effect without an
// allowing decision and a start before it.
func checkLog(t testing.TB, l *ledger.Ledger, log []string) (acked int) {
	t.Helper()
	last := map[string]int64{}
	effects := map[string][]string{}
	for _, line := range log {
		f := strings.Fields(line)
		switch f[0] {
		case "ack":
			n, _ := strconv.ParseInt(f[2], 10, 64)
			last[f[1]] = n
			acked++
		case "effect":
			effects[f[1]] = append(effects[f[1]], f[2])
		}
	}
	for run, want := range last {
		ev, err := l.ReadAll(t.Context(), run)
		if err != nil {
			t.Error(err)
			continue
		}
		if int64(len(ev)) < want {
			t.Errorf("run %s has %d events, %d were acknowledged", run, len(ev), want)
		}
		for _, call := range effects[run] {
			if !licensed(ev, call) {
				t.Errorf("run %s: effect of call %s without a decision and a start", run, call)
			}
		}
	}
	return acked
}

func licensed(ev []agent.Event, call string) bool {
	decided := int64(0)
	for _, e := range ev {
		if fmt.Sprintf("%x", e.Call) != call {
			continue
		}
		switch b := e.Body.(type) {
		case *agent.Decided:
			if b.Outcome == agent.Allow {
				decided = e.Seq
			}
		case *agent.CallStart:
			return decided > 0 && e.Ref == decided
		}
	}
	return false
}
