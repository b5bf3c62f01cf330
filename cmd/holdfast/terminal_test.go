package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// onTerminal returns what show writes to the error output of a terminal of so many columns.
func onTerminal(t *testing.T, columns uint16, show func(*terminal)) string {
	t.Helper()
	t.Setenv("TERM", "xterm")
	ours, theirs := openPTY(t)
	if err := unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	var screen strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(&screen, ours) // ends with an error of the closed terminal
	}()
	show(newTerminal(theirs, os.Stdout, theirs))
	theirs.Close()
	<-done
	return strings.ReplaceAll(screen.String(), "\r\n", "\n")
}

// plainLines are the lines of a screen without styles.
func plainLines(screen string) []string {
	for _, code := range []string{"0", styleDim, styleBold, styleGreen, styleAmber, styleRed} {
		screen = strings.ReplaceAll(screen, "\x1b["+code+"m", "")
	}
	return strings.Split(strings.TrimRight(screen, "\n"), "\n")
}

// TestProgressFitsTheTerminal shows long progress on terminals of several widths: no line is
// wider, no word is broken, and what goes on below stands under its text.
func TestProgressFitsTheTerminal(t *testing.T) {
	verdict := agent.Event{Body: &agent.Judged{Outcome: agent.Ask, Label: agent.Sensitive, P: agent.LabelProbs{0.1, 0.8, 0.1},
		Reason: agent.Text("the old text would be lost if the file were replaced"), Votes: []agent.Vote{{Rule: "prompt.sensitive", Outcome: agent.Ask, Reason: "the model's label"}}}}
	for _, width := range []uint16{30, 40, 80, 120} {
		screen := onTerminal(t, width, func(term *terminal) {
			newViewer(term).see(verdict)
			term.note("the embedded model was not trained on piped data")
		})
		lines := plainLines(screen)
		for i, line := range lines {
			if len(line) > int(width) {
				t.Errorf("%d columns on a terminal of %d: %q", len(line), width, line)
			}
			if line[0] == ' ' && !strings.HasPrefix(line, strings.Repeat(" ", progressIndent)) || i == 0 && !strings.HasPrefix(line, "verdict  ask") {
				t.Errorf("line %d does not stand under its text: %q", i, line)
			}
		}
		words := strings.Fields(strings.Join(lines, " "))
		want := strings.Fields("verdict ask sensitive (benign 0.10, sensitive 0.80, malicious 0.10) the old text would be lost if the file were replaced " +
			"rule prompt.sensitive: the model's label note the embedded model was not trained on piped data")
		if strings.Join(words, " ") != strings.Join(want, " ") {
			t.Errorf("on %d columns:\n%s", width, strings.Join(lines, "\n"))
		}
	}
}

// TestProgressStaysOnItsLine shows work whose name is longer than the terminal is wide: the
// line is cut, as one that went on below could not be replaced.
func TestProgressStaysOnItsLine(t *testing.T) {
	screen := onTerminal(t, 30, func(term *terminal) {
		p := newProgress(term, "loading a model with a very long name")
		p.began = time.Now().Add(-time.Minute)
		p.set(0.5)
		p.set(0.75)
		p.done()
	})
	shown := strings.Split(screen, "\r\x1b[K")
	if len(shown) != 4 || !strings.HasPrefix(shown[1], " 50%, 1m0s left: loading") || !strings.HasPrefix(shown[2], " 75%, 20s left: loading") || shown[3] != "" {
		t.Fatalf("%q", shown)
	}
	for _, line := range shown {
		if len(line) >= 30 {
			t.Errorf("%d columns of 30: %q", len(line), line)
		}
	}
}

// TestQuestionFitsTheTerminal asks on a terminal that is narrower than what goes on record.
func TestQuestionFitsTheTerminal(t *testing.T) {
	q := asking("cp " + strings.Repeat("some-file ", 20) + "elsewhere")
	ctx, end := context.WithCancel(t.Context())
	screen := onTerminal(t, 50, func(term *terminal) {
		end() // nobody answers
		if _, err := (&approver{t: term, mode: "on-risk"}).put(ctx, q, true); err == nil {
			t.Error("an answer came from nowhere")
		}
	})
	for _, line := range plainLines(screen) {
		if utf8.RuneCountInString(line) > 50 {
			t.Errorf("more than 50 columns: %q", line)
		}
	}
	if !strings.Contains(screen, "elsewhere") {
		t.Errorf("the end of the call is not shown:\n%s", screen)
	}
}

// TestListFitsTheTerminal lists a run on terminals of several widths, and where there is none.
func TestListFitsTheTerminal(t *testing.T) {
	const prompt = "find the line about parking in visitors.txt and tell me who wrote it, and when"
	for width, want := range map[int]struct {
		digits int
		task   string
	}{
		0:   {32, "find the line about parking in visitors.txt and tell me who … (18 characters more)"},
		200: {32, "find the line about parking in visitors.txt and tell me who … (18 characters more)"},
		80:  {16, "find the line about p…"},
		40:  {16, "find the …"},
	} {
		digits, task := listColumns(width)
		if got := task(prompt); digits != want.digits || got != want.task {
			t.Errorf("on %d columns %d digits, %q", width, digits, got)
		}
		if got := task("ls"); got != "ls" {
			t.Errorf("a short task is shown as %q", got)
		}
	}
}
