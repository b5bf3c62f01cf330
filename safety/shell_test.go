package safety_test

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
)

// shellPieces are what random command lines are made of: verbs that read, add and
// destroy, names that exist and that do not, and the signs by which a shell and a reader
// of its lines may differ.
var shellPieces = append([]string{
	"cat", "echo", "ls", "sort", "uniq", "find", "diff", "tee", "touch", "mkdir", "cp", "rm", "mv", "sed", "cd", "printf", "true", "head",
	"*.txt", "~", "-o", "-oold.txt", "-delete", "-exec", "-p", "-v", "-r", "-s", "-i", "-n", "-rf", "--", "-", "-k1", "-t,",
	">", ">>", "<", ">", ">>", "2>", "1>", ">&", ">&1", "2>&1", ">|", "<>", "<<", "&>", "|", "||", "&&", ";", "&", "\n", "\t", "\r", "|&",
	"'", "\"", "''", "'2'", "'a b'", "\"x\"", "`", "$(", ")", "$x", "{", "}", "!", "#", "\\", "=", "A=1", "if", "then", "fi", "exec", "time",
}, shellNames...)

// shellNames are the names among them, all said by the user.
var shellNames = []string{
	"old.txt", "other.txt", "new.txt", "fresh.txt", "made", "dir", "dir/in.txt", "dir/new.txt", "./new.txt", "ghost/new.txt", "1", "2", "x",
}

// shellLine makes a line of up to nine pieces, most of them a blank apart.
func shellLine(r *rand.Rand) string {
	var b strings.Builder
	for range 2 + r.IntN(8) {
		b.WriteString(shellPieces[r.IntN(len(shellPieces))])
		if r.IntN(5) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// settled draws a folder with two files and one below, all of a day long past.
func settled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"old.txt", "other.txt", "dir/in.txt"} {
		p := filepath.Join(dir, f)
		if err := os.WriteFile(p, []byte("b "+f+"\na\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, longAgo, longAgo); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var longAgo = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// spoiled lists what of a settled folder is no longer as it was; a file may have grown
// if the line appends to it.
func spoiled(dir, line string) (bad []string) {
	for _, f := range []string{"old.txt", "other.txt", "dir/in.txt"} {
		p := filepath.Join(dir, f)
		b, err := os.ReadFile(p)
		info, serr := os.Lstat(p)
		was := "b " + f + "\na\n"
		grew := strings.Contains(line, ">>") && strings.HasPrefix(string(b), was)
		if err != nil || serr != nil || !grew && (string(b) != was || !info.ModTime().Equal(longAgo)) {
			bad = append(bad, f)
		}
	}
	return bad
}

// TestShellAgreesWithTheGate runs random command lines that the gate holds to lose
// nothing in a real shell, and wants nothing lost: the reader of command lines may
// understand less than a shell, never something else.
func TestShellAgreesWithTheGate(t *testing.T) {
	sh, err := exec.LookPath("/bin/sh")
	if err != nil {
		t.Skip("no /bin/sh:", err)
	}
	const lines = 20_000
	r := rand.New(rand.NewPCG(11, 1))
	ran, wrote := 0, 0
	dir := settled(t)
	g := newGate(t, safety.Options{Adds: everyTool, Exists: func(p string) bool {
		_, err := os.Lstat(filepath.Join(dir, p))
		return !os.IsNotExist(err)
	}})
	prompt := asked(strings.Join(shellNames, " "))
	for i := 0; i < lines; i++ {
		line := shellLine(r)
		if !strings.ContainsAny(line, ">") && !slices.ContainsFunc([]string{"cp", "touch", "tee", "mkdir", "sort", "uniq", "find"},
			func(v string) bool { return strings.Contains(line, v) }) {
			continue // nothing here could write: many lines, little to learn
		}
		c, p := propose(prompt, "run_command", args(t, "command", line), everything...)
		v := g.Rules(c, p)
		if slices.ContainsFunc(v.Votes, func(v agent.Vote) bool { return v.Rule == "effect.irreversible" }) {
			continue
		}
		ran++
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		cmd := exec.CommandContext(ctx, sh, "-c", line)
		cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "HOME=" + dir}
		_ = cmd.Run() // many fail: what they did before counts
		cancel()
		if bad := spoiled(dir, line); bad != nil {
			t.Fatalf("%q changed %v", line, bad)
		}
		if !v.Grant.Write {
			if n := count(t, dir); n != 5 {
				t.Fatalf("%q counts as a read, but %d entries stand where 5 did", line, n)
			}
			continue
		}
		wrote++
		dir = settled(t)
	}
	t.Logf("%d lines ran, %d of them with the right to write", ran, wrote)
	if wrote < 20 || ran < 100 {
		t.Error("too few lines ran to say anything")
	}
}

// count returns how many entries a folder holds, itself included.
func count(t *testing.T, dir string) (n int) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { n++; return err }); err != nil {
		t.Fatal(err)
	}
	return n
}
