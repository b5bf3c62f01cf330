package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/charmbracelet/log"
	"github.com/muesli/termenv"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// terminal is where a command reads and writes. It is safe for concurrent use in what
// it writes to err.
type terminal struct {
	in    io.Reader
	out   *output
	err   io.Writer
	asks  bool // a person can be asked: input and error output are terminals
	color bool

	mu    sync.Mutex
	lines *bufio.Reader
}

func newTerminal(in io.Reader, out, errw io.Writer) *terminal {
	t := &terminal{in: in, out: &output{w: out}, err: errw}
	inTTY, errTTY := isTTY(in), isTTY(errw)
	t.asks = inTTY && errTTY
	t.color = errTTY && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != ""
	return t
}

func isTTY(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// logger writes all that the engine says to standard error.
func (t *terminal) logger() *slog.Logger {
	h := log.NewWithOptions(t.err, log.Options{Level: log.DebugLevel, ReportTimestamp: true})
	if !t.color {
		h.SetColorProfile(termenv.Ascii)
	}
	return slog.New(h)
}

// output is standard output. It keeps the first error, so that a lost answer is not
// reported as done.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// printf writes progress to standard error.
func (t *terminal) printf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.err, format, args...)
}

// line shows s on the current line of the terminal in the place of what stood there, cut
// where it would go on below: what is there could then not be replaced.
func (t *terminal) line(s string) {
	if w := widthOf(t.err); w > 1 && len(s) >= w {
		s = strings.ToValidUTF8(s[:w-1], "")
	}
	t.printf("\r\x1b[K%s", s)
}

// note tells a person, beside the progress, what they should know of it.
func (t *terminal) note(text string) {
	t.printf("%s\n", t.fit(t.style(styleAmber, "note     ")+inertLine(text, 4*lineWidth), progressIndent))
}

// readLine reads one line of a person's input.
func (t *terminal) readLine() (string, error) {
	if t.lines == nil {
		t.lines = bufio.NewReader(t.in)
	}
	s, err := t.lines.ReadString('\n')
	if err != nil && s == "" {
		return "", err
	}
	return strings.TrimSpace(s), nil
}

// forget drops what was typed before a question was shown: an answer must follow its
// question.
func (t *terminal) forget() {
	t.lines = nil
	if f, ok := t.in.(*os.File); ok {
		_ = unix.IoctlSetInt(int(f.Fd()), unix.TCFLSH, unix.TCIFLUSH) // not a terminal: nothing was typed
	}
}

// The styles of progress lines; plain where the terminal has no color.
const (
	styleDim   = "2"
	styleBold  = "1"
	styleGreen = "32"
	styleAmber = "33"
	styleRed   = "31"
)

func (t *terminal) style(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// inert makes text safe to show: whatever acts on a terminal, reorders or hides text is
// spelled out; line breaks and tabs are kept.
func inert(s string) string { return zeroWidth.Replace(toolbox.Inert(s, "\n\t")) }

// zeroWidth spells out the joiners that scripts and emoji use: harmless in a tool's
// output, but a person who approves a call must see every character of it.
var zeroWidth = strings.NewReplacer("\u200c", `\u200c`, "\u200d", `\u200d`)

// inertLine is inert on one line, cut visibly at n runes.
func inertLine(s string, n int) string {
	s = strings.NewReplacer("\n", "\\n", "\t", "\\t").Replace(inert(s))
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + fmt.Sprintf("… (%d characters more)", len(r)-n)
}
