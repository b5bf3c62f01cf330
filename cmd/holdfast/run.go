package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

func runCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "do one task",
		ArgsUsage: "[PROMPT...|-]",
		Description: "Runs one task in the workspace. The answer goes to standard output, progress to standard\n" +
			"error. With -, the prompt is read from standard input; a pipe beside a prompt is data for it.\n\n" +
			"Examples:\n" +
			"  holdfast run \"what is the port in server.conf?\"\n" +
			"  holdfast run -m model.gguf -C ~/project --ask never \"count the lines of notes.txt\"\n" +
			"  holdfast run --verify \"test -s b.txt\" \"copy the price from a.txt to b.txt\"\n" +
			"  git diff | holdfast run -m model.gguf \"which files does this change touch?\"\n" +
			"  holdfast run --tools tools.yaml -m model.gguf \"count the words of notes.txt\"",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitSuspended, exitRefused, exitUnverified, exitLimit, exitLoop, exitModel, exitContext, exitSandbox, exitLedger, exitDigest, exitInterrupted),
		Flags:              append(append(engineFlags(), loopFlags()...), showFlags()...),
		Action:             func(c *cli.Context) error { return runTask(c, t) },
	}
}

// runTask carries out one run.
func runTask(c *cli.Context, t *terminal) error {
	if err := checkAsk(c.String("ask")); err != nil {
		return err
	}
	if _, err := limitsOf(c); err != nil {
		return err
	}
	prompt, data, err := promptOf(c, t)
	if err != nil {
		return err
	}
	k, err := openCrew(c, t)
	if err != nil {
		return err
	}
	defer k.Close()
	k.caution(t, data != "")
	rec, err := k.begin(c)
	if err != nil {
		return err
	}
	defer rec.Close()

	cfg := k.config(c, t)
	seen := &observed{show: observer(c, t, rec.ID())}
	k.watch(c, t, rec, &cfg, seen)
	out, err := loop.Run(c.Context, cfg, loop.Task{Prompt: prompt, Data: data, Model: k.model.used, Start: k.start(c)})
	return conclude(c, t, k.ledger, rec.ID(), out, seen, err)
}

// observed counts what its summary says of a run beside its outcome, and shows the run.
type observed struct {
	show   func(agent.Event) // nil shows nothing
	failed int               // calls that were allowed and did not end well
	cut    bool              // the last event says that the run was interrupted
	turn   int64             // position of the agent's last generation
	short  bool              // that broke off at its limit

	verified *verifying // nil where nothing verifies the run
}

// see takes one event. It is a loop.Config.Observe.
func (o *observed) see(e agent.Event) {
	if b, ok := e.Body.(*agent.CallEnd); ok && b.Status != agent.CallOK && b.Status != agent.CallDenied {
		o.failed++
	}
	switch b := e.Body.(type) {
	case *agent.GenStart:
		if b.Purpose == agent.PurposeAgent {
			o.turn, o.short = e.Seq, false
		}
	case *agent.GenEnd:
		o.short = o.short || e.Ref == o.turn && b.Finish == agent.FinishLength
	}
	b, ok := e.Body.(*agent.Failed)
	o.cut = ok && b.Where == agent.Interrupted
	if o.show != nil {
		o.show(e)
	}
}

// observer shows a run while it goes on: as JSON lines, as progress, or not at all.
func observer(c *cli.Context, t *terminal, runID string) func(agent.Event) {
	switch {
	case c.Bool("json"):
		return func(e agent.Event) {
			line, err := jsonEvent(runID, e)
			if err != nil {
				t.printf("holdfast: encode event %d: %v\n", e.Seq, err)
				return
			}
			fmt.Fprintf(t.out, "%s\n", line)
		}
	case c.Bool("quiet"):
		return nil
	}
	return newViewer(t).see
}

// conclude prints the answer and where the record is, and maps the ending to an error.
func conclude(c *cli.Context, t *terminal, l *ledger.Ledger, runID string, out loop.Outcome, seen *observed, err error) error {
	if seen.verified.open() {
		out.Status = agent.StatusSuspended
	}
	if out.Answer != "" && !c.Bool("json") {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a reader that left is told below
		fmt.Fprintln(t.out, inert(out.Answer))
	}
	if !c.Bool("quiet") && !c.Bool("json") {
		t.printf("%s\n", t.style(styleDim, summary(out, seen.failed, runID, l.Path())))
	}
	if out.Status == agent.StatusDone && seen.short && !c.Bool("json") {
		t.note(fmt.Sprintf("the answer breaks off: a turn of the model has %d tokens at most", loop.DefaultMaxTokens))
	}
	if c.String("sign-key") != "" {
		if _, serr := signLedger(c, l); serr != nil {
			return errors.Join(err, serr)
		}
	}
	if err := seen.verified.conclude(err); err != nil {
		return err
	}
	if code := statusCode(out.Status); code != exitDone {
		interrupted := out.Status == agent.StatusSuspended && c.Context.Err() != nil
		if interrupted {
			code = exitInterrupted
		}
		if out.Status == agent.StatusSuspended && !seen.cut && !c.Bool("json") {
			why := "the run needs an approval and nobody is there to give it"
			if interrupted {
				why = "interrupted at a question, which stays open"
			}
			t.printf("%s\n", t.fit("holdfast: "+why+"\n"+
				"  see it with `holdfast approvals ls`, answer it there or with `holdfast resume "+runID+"` on a terminal", 2))
		}
		if (seen.cut || stoppedShort(out.Status) && out.Steps > 0) && !c.Bool("json") && !c.Bool("quiet") {
			t.printf("%s\n", t.style(styleDim, "go on    holdfast resume "+runID))
		}
		return silent{code}
	}
	if t.out.err != nil {
		return &failure{exitInternal, fmt.Errorf("write output: %w", t.out.err), "the run is done and on record: holdfast log show " + runID}
	}
	if isNowhere(t.out.w) && !c.Bool("quiet") {
		t.note("standard output is closed, or goes nowhere: holdfast log show " + runID + " has the answer")
	}
	return nil
}

// isNowhere reports whether w is a null device that can be read as well. It is what Go puts
// in the place of a standard output that was closed; a shell's >/dev/null is not. A few
// programs give such a one on purpose, so that it is no error.
func isNowhere(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	var st unix.Stat_t
	how, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && how&unix.O_ACCMODE == unix.O_RDWR && unix.Fstat(int(f.Fd()), &st) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

func summary(o loop.Outcome, failed int, runID, path string) string {
	calls := count(o.Calls, "call")
	if failed > 0 { // whatever the answer says
		calls += fmt.Sprintf(" of which %d failed", failed)
	}
	s := fmt.Sprintf("%s: %s, %s, %s", o.Status, count(o.Steps, "step"), calls, count(o.Denials, "denial"))
	if o.Limit != "" {
		s += ", limit on " + o.Limit
	}
	return s + fmt.Sprintf("\nrun      %s\nledger   %s", runID, path)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

const maxPrompt = 1 << 20 // bytes

// promptOf takes the prompt from the arguments, or with - from standard input. A pipe
// beside a prompt is data: it may come from anywhere, so it is not the user's word.
func promptOf(c *cli.Context, t *terminal) (prompt, data string, err error) {
	prompt = strings.Join(c.Args().Slice(), " ")
	if prompt == "-" || (prompt != "" && piped(t.in)) {
		if data, err = readAll(c.Context, t.in); err != nil {
			return "", "", err
		}
	}
	if prompt == "-" {
		prompt, data = data, ""
	}
	if prompt = strings.TrimSpace(strings.ToValidUTF8(prompt, "\ufffd")); prompt == "" {
		return "", "", usage(errors.New("no prompt; give one as an argument, or - to read it from standard input"))
	}
	return prompt, strings.TrimSpace(strings.ToValidUTF8(data, "\ufffd")), nil
}

// readAll reads standard input, and stops waiting for it when ctx ends.
func readAll(ctx context.Context, r io.Reader) (string, error) {
	type result struct {
		b   []byte
		err error
	}
	ch := make(chan result, 1)
	go func() {
		b, err := io.ReadAll(io.LimitReader(r, maxPrompt+1))
		ch <- result{b, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case res := <-ch:
		if res.err != nil {
			return "", usage(fmt.Errorf("read standard input: %w", res.err))
		}
		if len(res.b) > maxPrompt {
			return "", usage(fmt.Errorf("standard input is longer than %d bytes", maxPrompt))
		}
		return string(res.b), nil
	}
}

// piped reports whether standard input is a pipe or a file, not a terminal or /dev/null.
func piped(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && (info.Mode()&os.ModeNamedPipe != 0 || info.Mode().IsRegular())
}

// progress is one line of long work on a terminal; elsewhere it is silent.
type progress struct {
	t     *terminal
	what  string
	began time.Time
	shown bool
}

func newProgress(t *terminal, what string) *progress {
	return &progress{t: t, what: what, began: time.Now()}
}

// set shows how much is done, from 0 to 1, once the work has taken a noticeable time.
func (p *progress) set(done float32) {
	if !p.t.color || time.Since(p.began) < 300*time.Millisecond || done <= 0 {
		return
	}
	left := time.Duration(float64(time.Since(p.began)) * (1 - float64(done)) / float64(done))
	p.shown = true
	p.t.line(fmt.Sprintf("%3.0f%%, %s left: %s", 100*done, left.Round(100*time.Millisecond), inertLine(p.what, 60)))
}

func (p *progress) done() {
	if p.shown {
		p.t.printf("\r\x1b[K")
	}
}
