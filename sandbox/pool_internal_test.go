//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// TestStageComparesThePlanOfTheCall hands plans to prepared cells that they were
// not built for: the stage itself refuses them.
func TestStageComparesThePlanOfTheCall(t *testing.T) {
	r, err := New(t.Context(), Config{})
	if err != nil {
		t.Skipf("UNTESTED(no sandbox here: %v)", err)
	}
	defer r.Close()
	plan := func(s Spec) (Facts, Plan) {
		t.Helper()
		s.CallID, s.Argv = "x", []string{"/bin/true"}
		f, err := r.approve(s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(s, f)
		if err != nil {
			t.Fatal(err)
		}
		return f, p
	}
	f, own := plan(Spec{})
	// what comes of handing over p: the first message, or the end
	hand := func(p Plan) error {
		c := &cell{runner: r, facts: f, plan: own}
		c.kind = c.key()
		c = c.likeness()
		defer c.discard()
		if err := c.build(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.built()
		c.plan = p
		if err := c.release(); err != nil {
			return err
		}
		_, err := c.expect(t.Context(), c.barrier, stage.MsgReport, time.Now().Add(5*time.Second))
		return err
	}
	_, fewer := plan(Spec{Limits: Limits{Processes: 20}})
	_, helped := plan(Spec{Profile: Standard})
	ends := helped.holding(append([]byte(nil), helped.bytes...))
	ends.bytes[len(ends.bytes)-1] ^= 1 // no NUL where one must be
	for name, p := range map[string]Plan{
		"OfOtherLimits":     fewer,
		"ThatWaitsItself":   own.holding(own.standby()),
		"ThatIsMalformed":   ends,
		"ThatIsNoPlanAtAll": own.holding([]byte("plan")),
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			e, ok := errors.AsType[*SetupError](hand(p))
			if !ok || e.Errno != unix.ESTALE && e.Errno != unix.EINVAL {
				t.Errorf("got %v", e)
			}
		})
	}
	t.Run("TakesItsOwn", func(t *testing.T) {
		want := fmt.Sprintf("unexpected message %d", stage.MsgExit) // it ran and ended
		if err := hand(own); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// TestMountsOfTheHostEndCellsThatAreBeingBuilt: a cell that was begun before
// something was mounted, and stands after a call has taken note of that, is not
// kept.
func TestMountsOfTheHostEndCellsThatAreBeingBuilt(t *testing.T) {
	for _, mounted := range []bool{false, true} {
		r, err := New(t.Context(), Config{Pool: 1})
		if err != nil {
			t.Skipf("UNTESTED(no sandbox here: %v)", err)
		}
		defer r.Close()
		for range cap(r.setups) { // the next cell waits for its turn
			r.setups <- struct{}{}
		}
		f, err := r.approve(Spec{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(Spec{CallID: "x", Argv: []string{"/bin/true"}}, f)
		if err != nil {
			t.Fatal(err)
		}
		c := &cell{runner: r, facts: f, plan: p}
		c.kind = c.key()
		r.pool.mu.Lock()
		r.pool.prepare(c.likeness())
		r.pool.mu.Unlock()
		if mounted {
			at := t.TempDir()
			if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k"); err != nil {
				t.Skipf("UNTESTED(%v)", err)
			}
			defer unix.Unmount(at, unix.MNT_DETACH)
			if r.pool.take(c.kind) != nil {
				t.Fatal("control: there is a cell")
			}
		}
		for range cap(r.setups) {
			<-r.setups
		}
		if n := r.Ready(); (n == 0) != mounted {
			t.Errorf("mounted %v: %d cells wait", mounted, n)
		}
	}
}
