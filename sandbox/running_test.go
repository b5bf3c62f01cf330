//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
)

// started begins a script that goes on.
func started(t *testing.T, r *sandbox.Runner, ctx context.Context, s sandbox.Spec, script string) (*sandbox.Running, *recorder) {
	t.Helper()
	rec := &recorder{}
	s.CallID, s.Argv = t.Name(), []string{"/bin/sh", "-c", script}
	live, err := r.Start(ctx, s, rec)
	if err != nil {
		t.Fatal(err)
	}
	return live, rec
}

// ended waits for the end within what stopping may take.
func ended(t *testing.T, live *sandbox.Running) {
	t.Helper()
	select {
	case <-live.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

const echo = `while read -r line; do echo "got $line"; done; echo end; echo log >&2; exit 3`

func TestRunningCell(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 1})
	t.Run("IsSpokenTo", func(t *testing.T) {
		for range 2 { // the second time in a cell that was prepared
			live, rec := started(t, r, t.Context(), sandbox.Spec{}, echo)
			if strings.Join(rec.steps, " ") != "planned attested" {
				t.Errorf("recorded %v when it was let go", rec.steps)
			}
			in := bufio.NewReader(live.Stdout())
			for i := range 50 {
				fmt.Fprintln(live.Stdin(), i)
				if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("got %d\n", i) {
					t.Fatalf("%q, %v", line, err)
				}
			}
			live.Stdin().Close()
			if rest, err := io.ReadAll(in); err != nil || string(rest) != "end\n" {
				t.Errorf("%q, %v", rest, err)
			}
			res, err := live.Wait()
			if err != nil || res.Exit != 3 || string(res.Stderr.Bytes()) != "log\n" || !rec.finished || !rec.result.Started {
				t.Errorf("%+v, %v", res, err)
			}
			r.Ready()
		}
	})
	t.Run("EndsWhenStopped", func(t *testing.T) {
		live, rec := started(t, r, t.Context(), sandbox.Spec{}, "echo ready; sleep 65.5 & exec sleep 65.5")
		bufio.NewReader(live.Stdout()).ReadString('\n')
		live.Stop()
		live.Stop()
		ended(t, live)
		if res, err := live.Wait(); err != nil || res.Limit != sandbox.LimitCancelled || res.Signal != int(syscall.SIGTERM) || !rec.finished {
			t.Errorf("%+v, %v", res, err)
		}
		if left := gone("sleep 65.5", time.Second); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	})
	t.Run("EndsWithItsContext", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		live, _ := started(t, r, ctx, sandbox.Spec{}, "trap '' TERM; echo ready; while :; do sleep 66.5; done")
		bufio.NewReader(live.Stdout()).ReadString('\n')
		cancel()
		ended(t, live)
		if res, err := live.Wait(); err != nil || res.Limit != sandbox.LimitCancelled {
			t.Errorf("%+v, %v", res, err)
		}
	})
	t.Run("EndsAtItsTime", func(t *testing.T) {
		live, _ := started(t, r, t.Context(), sandbox.Spec{Limits: sandbox.Limits{Time: 200 * time.Millisecond}}, "exec sleep 67.5")
		ended(t, live)
		if res, err := live.Wait(); err != nil || res.Limit != sandbox.LimitTime {
			t.Errorf("%+v, %v", res, err)
		}
	})
	t.Run("WaitsForWhoeverReads", func(t *testing.T) {
		live, _ := started(t, r, t.Context(), sandbox.Spec{}, "yes")
		b := make([]byte, 1<<20)
		if n, err := io.ReadFull(live.Stdout(), b); err != nil || strings.Trim(string(b[:n]), "y\n") != "" {
			t.Errorf("%d, %v", n, err)
		}
		live.Stop()
		ended(t, live)
		rest, err := io.ReadAll(live.Stdout())
		if err != nil || len(rest) > 256<<10 {
			t.Errorf("%d bytes were kept for nobody, %v", len(rest), err)
		}
		live.Wait()
	})
	t.Run("CommitsWhatItChangedIfItEnded", func(t *testing.T) {
		dir := realDir(t)
		live, _ := started(t, r, t.Context(), writable(dir), "read -r x; echo $x > f")
		fmt.Fprintln(live.Stdin(), "hello")
		if res, err := live.Wait(); err != nil || res.Commit != sandbox.CommitDone {
			t.Errorf("%v %s, %v", res.Commit, res.Why, err)
		}
		live, _ = started(t, r, t.Context(), writable(dir), "echo x > g; echo ready; exec sleep 68.5")
		bufio.NewReader(live.Stdout()).ReadString('\n')
		live.Stop()
		if res, err := live.Wait(); err != nil || res.Commit != sandbox.CommitDropped {
			t.Errorf("%v %s, %v", res.Commit, res.Why, err)
		}
	})
	t.Run("SaysThatThereIsNoProgram", func(t *testing.T) {
		live, err := r.Start(t.Context(), sandbox.Spec{CallID: "x", Argv: []string{"/usr/bin/no-such-program"}}, sandbox.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := live.Wait(); !errors.Is(err, sandbox.ErrExec) {
			t.Errorf("%v", err)
		}
	})
	t.Run("DoesNotBeginAgainstItsRecord", func(t *testing.T) {
		no := errors.New("no")
		for _, rec := range []*recorder{{planned: func(sandbox.PlanRecord) error { return no }}, {attested: func(sandbox.Attestation) error { return no }}} {
			live, err := r.Start(t.Context(), withTrue(sandbox.Spec{}), rec)
			if live != nil || !errors.Is(err, no) {
				t.Errorf("%v, %v", live, err)
			}
		}
		if _, err := r.Start(t.Context(), withTrue(sandbox.Spec{Stdin: []byte("x")}), sandbox.Discard); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("with an input: %v", err)
		}
	})
}

// TestNothingIsLeftOfRunningCells: descriptors, processes and mounts.
func TestNothingIsLeftOfRunningCells(t *testing.T) {
	r := open(t, sandbox.Config{})
	once := func(stop bool) {
		live, _ := started(t, r, t.Context(), sandbox.Spec{}, echo)
		fmt.Fprintln(live.Stdin(), "x")
		if stop {
			live.Stop()
		} else {
			live.Stdin().Close()
		}
		io.Copy(io.Discard, live.Stdout())
		live.Wait()
	}
	once(true)
	before := census(t, r)
	for i := range 20 {
		once(i%2 == 0)
	}
	if after := census(t, r); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}
