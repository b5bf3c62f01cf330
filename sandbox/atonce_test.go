//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
)

// TestCallsAtOnceNeverOverwriteEachOther: of calls that all began with the same
// workspace those are committed that changed different files, whole, and no other.
func TestCallsAtOnceNeverOverwriteEachOther(t *testing.T) {
	r := open(t, sandbox.Config{})
	done, conflicts := 0, 0
	for round := range uint64(6) {
		rnd := rand.New(rand.NewPCG(round, 2))
		dir := realDir(t)
		for f := range 8 {
			fill(t, dir, map[string]string{fmt.Sprint(f): "first"})
		}
		const calls = 4
		files, results := make([][]int, calls), make([]sandbox.Result, calls)
		var started, all sync.WaitGroup
		started.Add(calls)
		for i := range calls {
			files[i] = rnd.Perm(8)[:1+rnd.IntN(3)]
			var script strings.Builder
			for _, f := range files[i] {
				fmt.Fprintf(&script, "printf call-%d > new; rm %d; mv new %d\n", i, f, f)
			}
			all.Go(func() {
				// a tool is let go when every cell stands
				rec := &recorder{attested: func(sandbox.Attestation) error { started.Done(); started.Wait(); return nil }}
				s := writable(dir)
				s.CallID, s.Argv = "c", []string{"/bin/sh", "-c", script.String()}
				var err error
				if results[i], err = r.Run(context.Background(), s, rec); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		owner := map[int]int{}
		for i, res := range results {
			switch res.Commit {
			case sandbox.CommitDone:
				done++
				for _, f := range files[i] {
					if other, taken := owner[f]; taken {
						t.Errorf("round %d: calls %d and %d both changed %d", round, other, i, f)
					}
					owner[f] = i
				}
			case sandbox.CommitConflict:
				conflicts++
			default:
				t.Errorf("round %d, call %d: %v %s", round, i, res.Commit, res.Why)
			}
		}
		for f := range 8 {
			want := "first"
			if i, changed := owner[f]; changed {
				want = fmt.Sprintf("call-%d", i)
			}
			if got := content(t, filepath.Join(dir, fmt.Sprint(f))); got != want {
				t.Errorf("round %d: %d holds %q, want %q", round, f, got, want)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 8 || slices.Contains(left, filepath.Join(dir, "new")) {
			t.Errorf("round %d: %v", round, left)
		}
	}
	if done < 6 || conflicts < 3 {
		t.Errorf("control: %d calls were committed, %d were not", done, conflicts)
	}
	t.Logf("%d committed, %d conflicts", done, conflicts)
}
