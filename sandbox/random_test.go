//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
)

// whatIs lists a folder: kinds, modes, names, targets, and what is in files.
const whatIs = `find . -mindepth 1 \( -type l -printf 'l %p %l\n' \) -o -printf '%y %m %p\n' | LC_ALL=C sort; find . -type f -exec cksum {} + | LC_ALL=C sort -k3`

// commands are random changes of a folder. Many fail, some for what came before.
func commands(rnd *rand.Rand, n int) string {
	name := func() string {
		p := string("abcd"[rnd.IntN(4)])
		for range rnd.IntN(3) {
			p += "/" + string("abcd"[rnd.IntN(4)])
		}
		return p
	}
	var b strings.Builder
	for i := range n {
		p, q := name(), name()
		switch rnd.IntN(14) {
		case 0, 1, 2:
			fmt.Fprintf(&b, "echo %d > %s\n", i, p)
		case 3, 4:
			fmt.Fprintf(&b, "mkdir -p %s\n", p)
		case 5:
			fmt.Fprintf(&b, "rm -rf %s\n", p)
		case 6:
			fmt.Fprintf(&b, "rm -rf %s; mkdir %s; echo %d > %s/%c\n", p, p, i, p, "abcd"[i%4])
		case 7:
			fmt.Fprintf(&b, "mv %s %s\n", p, q)
		case 8:
			fmt.Fprintf(&b, "ln -s %s %s\n", q, p)
		case 9:
			fmt.Fprintf(&b, "ln %s %s\n", q, p)
		case 10:
			fmt.Fprintf(&b, "chmod %s %s\n", []string{"755", "700"}[rnd.IntN(2)], p)
		case 11:
			fmt.Fprintf(&b, "echo more >> %s\n", p)
		case 12:
			fmt.Fprintf(&b, "touch -d @%d %s\n", i, p)
		case 13:
			fmt.Fprintf(&b, "mv %s t; mv %s %s; mv t %s\n", p, q, p, q)
		}
	}
	return b.String()
}

// TestRandomChangesAreCommittedAsTheyWere: after a call its workspace is what the
// tool has seen last, and after Undo what it was before, whatever was done to it.
func TestRandomChangesAreCommittedAsTheyWere(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 1})
	outside := func(dir, script string) string {
		t.Helper()
		cmd := exec.Command("/bin/sh", "-c", "umask 022\n"+script)
		cmd.Dir = dir
		b, _ := cmd.Output()
		return string(b)
	}
	committed := 0
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		dir := realDir(t)
		outside(dir, "exec 2>/dev/null\n"+commands(rnd, 30))
		for call := range 3 {
			before := outside(dir, whatIs)
			script := commands(rnd, 1+rnd.IntN(25))
			res := sh(t, r, writable(dir), "exec 2>/dev/null\n"+script+whatIs)
			seen, after := string(res.Stdout.Bytes()), outside(dir, whatIs)
			for _, c := range res.Changes {
				if c.Held != "" {
					t.Errorf("seed %d, call %d: held %+v", seed, call, c)
				}
			}
			if res.Commit != sandbox.CommitDone {
				if seen != before || after != before || res.Commit != sandbox.CommitNone {
					t.Fatalf("seed %d, call %d: %v %s\n%s\nbefore\n%sseen\n%safter\n%s", seed, call, res.Commit, res.Why, script, before, seen, after)
				}
				continue
			}
			committed++
			if seen != after {
				t.Fatalf("seed %d, call %d:\n%s\nseen\n%s\nafter\n%s", seed, call, script, seen, after)
			}
			if rnd.IntN(2) == 0 {
				if err := r.Undo(t.Context(), res.CommitID); err != nil {
					t.Fatalf("seed %d, call %d: %v", seed, call, err)
				}
				if undone := outside(dir, whatIs); undone != before {
					t.Fatalf("seed %d, call %d: undone\n%s\nbefore\n%s\nby\n%s", seed, call, undone, before, script)
				}
			}
		}
	}
	if committed < 20 {
		t.Errorf("control: only %d calls changed anything", committed)
	}
}
