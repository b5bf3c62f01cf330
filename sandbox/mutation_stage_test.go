//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"github.com/holdfast-run/holdfast/sandbox/verify"
	"golang.org/x/sys/unix"
)

//go:embed internal/stage/*.c internal/stage/*.h
var stageSource embed.FS

// edit is a text of the stage's source and what it becomes. Some layers cannot
// be taken out of a plan, since the stage refuses a plan without them; they are
// taken out of a stage that is built for that.
type edit struct{ from, to string }

// Edits that take a layer away.
var (
	noKeyring = []edit{{"long r = SYS(keyctl, 1 /* join a new anonymous session keyring */, 0);", "long r = 0;"}}
	noCloses  = []edit{{"r = SYS(close_range, keep, ~0u, 0);", "r = 0;"}, {"long r = SYS(close_range, FD_EXTRA + plan->nfds, ~0u, 0);", "long r = 0;"}}
	noLeaving = []edit{{"r = drop_terminal();", "(void)drop_terminal, r = 0;"}}
	noLosing  = []edit{{"return op_bounds(o->x[0]);", "return (void)op_bounds, 0;"}, {"return op_caps(o->x[0]);", "return (void)op_caps, 0;"},
		// the supervisors are to be as ever
		{"long r = drop_caps();\n\tif (r >= 0)\n\t\tr = op_nnp();", "long r = op_bounds(0);\n\tif (r >= 0)\n\t\tr = drop_caps();\n\tif (r >= 0)\n\t\tr = op_nnp();"}}
	noPromise = append(noLosing[1:2:2], edit{"return op_nnp();", "return 0;"}) // which the filter then needs a capability for
	noJoining = []edit{{"return op_join(o->a);", "return (void)op_join, 0;"}}
	// without a pid namespace of its own a cell cannot have its own proc, and a
	// signal to everybody would reach everybody
	noPIDs = []edit{{"return SYS(unshare, o->x[0]);", "return SYS(unshare, o->x[0] & ~0x20000000ul);"},
		{"return op_proc(text(o));", "return (void)op_proc, 0;"}, {"return op_pidmax(o->a);", "return (void)op_pidmax, 0;"},
		{"SYS(kill, -1, c == 'T' ? SIGTERM_ : SIGKILL_);", "leave(SIGTERM_);"}}
)

// mutants are stages that were built, by their edits.
var mutants sync.Map

// mutant builds the stage with edits, each of which must apply.
func mutant(t testing.TB, edits []edit) []byte {
	t.Helper()
	key := fmt.Sprint(edits)
	if b, ok := mutants.Load(key); ok {
		return b.([]byte)
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("UNTESTED(there is no C compiler to build a stage without a layer)")
	}
	dir := t.TempDir()
	list, err := stageSource.ReadDir("internal/stage")
	if err != nil {
		t.Fatal(err)
	}
	applied := map[string]bool{}
	for _, e := range list {
		b, err := stageSource.ReadFile("internal/stage/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		for _, ed := range edits {
			if strings.Contains(text, ed.from) {
				applied[ed.from] = true
				text = strings.ReplaceAll(text, ed.from, ed.to)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, ed := range edits {
		if !applied[ed.from] {
			t.Fatalf("the stage does not hold %q", ed.from)
		}
	}
	program := filepath.Join(dir, "mutant")
	if out, err := exec.Command(cc, "-O2", "-D_GNU_SOURCE", "-static", "-nostdlib", "-no-pie", "-Wl,-e,holdfast_start",
		"-o", program, filepath.Join(dir, "cell.c")).CombinedOutput(); err != nil {
		t.Fatalf("build a stage without a layer: %v\n%s", err, out)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	mutants.Store(key, b)
	return b
}

// rowOutcome runs one row of the table.
func rowOutcome(t testing.TB, r *sandbox.Runner, row string) verify.Outcome {
	t.Helper()
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	list, err := verify.Run(context.Background(), r, verify.Options{Only: []string{row}, Image: im})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

// TestRowsTurnRedWithoutTheStagesPart takes away layers that are the stage's
// own. The stage without any edit is the control: built in the same way, it
// passes.
func TestRowsTurnRedWithoutTheStagesPart(t *testing.T) {
	for _, m := range []struct {
		layer, row string
		edits      []edit
		config     sandbox.Config
		plan       func([]byte) []byte // backing layers that go as well
		why        string              // must be in the reason
		then       verify.State        // with all other layers back, the attestation among them
	}{
		{"K keyring, without S", "PS02", noKeyring, sandbox.Config{}, without1(noFilter), "key", verify.Pass},
		{"F descriptors", "NW15", noCloses, sandbox.Config{}, nil, "fds", verify.Fail},
		{"F descriptors", "IL09", noCloses, sandbox.Config{}, nil, "fds", verify.Fail},
		{"F descriptors", "NW14", noCloses, sandbox.Config{}, nil, "fds", verify.Fail},
		{"N pid", "PR04", noPIDs, sandbox.Config{}, nil, "outlived", verify.Fail},
		{"N pid, without L", "PR01", noPIDs, sandbox.Config{}, without1(noLandlock), "kill", verify.Fail},
		{"C capabilities", "PV01", noLosing, sandbox.Config{}, nil, "CapBnd", verify.Fail},
		{"C no_new_privs", "PV01", noPromise, sandbox.Config{}, nil, "NoNewPrivs", verify.Fail},
		{"G cgroup", "RS01", noJoining, sandbox.Config{RequireCgroup: true}, nil, "of 300 MiB within 128", verify.Fail},
	} {
		t.Run(m.layer+" "+m.row, func(t *testing.T) {
			r, err := sandbox.New(t.Context(), m.config)
			if err != nil {
				t.Skipf("UNTESTED(%v)", err)
			}
			defer r.Close()
			try := func(edits []edit) verify.Outcome {
				if err := r.StartFrom(mutant(t, edits)); err != nil {
					t.Fatal(err)
				}
				return rowOutcome(t, r, m.row)
			}
			r.Lenient()
			r.Rewrite(m.plan)
			if o := try(nil); o.State == verify.Untested {
				t.Skipf("UNTESTED(%s)", o.Why)
			} else if o.State != verify.Pass {
				t.Fatalf("with the layer alone: %s", o.Why)
			}
			o := try(m.edits)
			endLeftovers()
			if red := false; o.State != verify.Fail {
				t.Errorf("without: %s %s", o.State, o.Why)
			} else {
				for w := range strings.SplitSeq(m.why, "|") {
					red = red || strings.Contains(o.Why, w)
				}
				if !red {
					t.Errorf("without: red for another reason: %s", o.Why)
				}
			}
			r.Strictly()
			r.Rewrite(nil)
			then := rowOutcome(t, r, m.row)
			if then.State != m.then {
				t.Errorf("with all other layers: %s %s", then.State, then.Why)
			}
			t.Logf("without: %.100s; with all other layers: %s %.100s", o.Why, then.State, then.Why)
			endLeftovers()
		})
	}
}

// TestNoCellWithoutItsNamespaces: without one of these there is no cell at all,
// even if nobody looks at what was built; without the last, attestation refuses.
func TestNoCellWithoutItsNamespaces(t *testing.T) {
	for name, c := range map[string]struct {
		flag uint64
		err  error
	}{"user": {0x10000000, sandbox.ErrSetup}, "mount": {0x20000, sandbox.ErrSetup}, "uts": {0x4000000, sandbox.ErrSetup},
		"cgroup": {0x2000000, sandbox.ErrAttest}} {
		t.Run(name, func(t *testing.T) {
			r := open(t, sandbox.Config{})
			r.Rewrite(mutate(without(c.flag)))
			if c.err == sandbox.ErrSetup {
				r.Lenient()
			}
			s, ran := trace(t)
			if _, err := r.Run(t.Context(), s, sandbox.Discard); !errors.Is(err, c.err) || ran() {
				t.Errorf("%v, ran %v", err, ran())
			}
		})
	}
}

// TestNoCellOutsideOfItsGroup: a stage that does not enter the control group of
// its cell, of whichever version there is, is found out.
func TestNoCellOutsideOfItsGroup(t *testing.T) {
	r, err := sandbox.New(t.Context(), sandbox.Config{RequireCgroup: true})
	if err != nil {
		t.Skipf("UNTESTED(%v)", err)
	}
	defer r.Close()
	if err := r.StartFrom(mutant(t, noJoining)); err != nil {
		t.Fatal(err)
	}
	s, ran := trace(t)
	_, err = r.Run(t.Context(), s, sandbox.Discard)
	if e, ok := errors.AsType[*sandbox.AttestError](err); !ok || e.Field != "cgroup" || ran() {
		t.Errorf("%v, ran %v", err, ran())
	}
}

// TestBarrierFailsClosed: the step that only a cell has that is prepared ahead.
func TestBarrierFailsClosed(t *testing.T) {
	r := open(t, sandbox.Config{PoolAlways: true})
	if err := r.StartFrom(mutant(t, []edit{{"op_barrier((int)i);", "(void)op_barrier, fail((int)i, o->code, -125);"}})); err != nil {
		t.Fatal(err)
	}
	s, ran := trace(t)
	_, err := r.Run(t.Context(), s, sandbox.Discard)
	// the step itself, the plan that found nobody, or nobody there to be attested
	if !errors.Is(err, sandbox.ErrSetup) && !errors.Is(err, sandbox.ErrAttest) || ran() {
		t.Errorf("%v, ran %v", err, ran())
	}
}

// without1 is a rewriting of plans by one change.
func without1(f func([]byte, stage.Code, opOf)) func([]byte) []byte { return mutate(f) }

// endLeftovers ends what PR04 leaves behind where nothing else ends it.
func endLeftovers() {
	want := fmt.Sprintf("sleep\x00%d\x00", 100000+os.Getpid())
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range list {
		var pid int
		if b, err := os.ReadFile(p); err == nil && string(b) == want {
			fmt.Sscanf(p, "/proc/%d/", &pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func init() {
	// a runtime whose cell is never done with its building
	attempts["building"] = func(a []string) string {
		r, err := sandbox.New(context.Background(), sandbox.Config{})
		if err != nil {
			return err.Error()
		}
		b, err := os.ReadFile(a[0])
		if err == nil {
			err = r.StartFrom(b)
		}
		if err != nil {
			return err.Error()
		}
		fmt.Println("ready")
		_, err = r.Run(context.Background(), sandbox.Spec{CallID: "x", Argv: []string{"/bin/true"}}, sandbox.Discard)
		return fmt.Sprint(err)
	}
}

// childrenOf lists the processes that a process has started and not waited for.
func childrenOf(pid int) []int {
	var list []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for w := range strings.FieldsSeq(string(b)) {
			var child int
			if _, err := fmt.Sscan(w, &child); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// TestRuntimeDeathEndsCellsThatAreBeingBuilt: until process 1 hears that the
// runtime is gone, the process that made it does.
func TestRuntimeDeathEndsCellsThatAreBeingBuilt(t *testing.T) {
	open(t, sandbox.Config{})
	hang := edit{"	run_phase(1);\n", "	run_phase(1);\n	SYS(ppoll, 0, 0, 0, 0, 8);\n"}
	blind := edit{"	if (!p[1].revents)\n		SYS(kill, pid, SIGKILL_);\n", ""}
	for _, c := range []struct {
		edits []edit
		left  int
	}{{[]edit{hang}, 0}, {[]edit{hang, blind}, 1}} {
		program := filepath.Join(t.TempDir(), "stage")
		if err := os.WriteFile(program, mutant(t, c.edits), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{victim, "building", program}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if line != "ready\n" {
			t.Fatalf("%q %v", line, err)
		}
		var pids []int
		for deadline := time.Now().Add(4 * time.Second); len(pids) < 2 && time.Now().Before(deadline); {
			pids = childrenOf(cmd.Process.Pid)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if len(pids) != 2 {
			t.Fatalf("control: the runtime has started %v", pids)
		}
		left := vanish(pids, time.Second)
		if len(left) != c.left {
			t.Errorf("with %d edits left: %v", len(c.edits), left)
		}
		for _, pid := range left {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func init() {
	// runs row TT04 with and without the layer, in a session that has a terminal
	attempts["ttyrow"] = func(a []string) string {
		r, err := sandbox.New(context.Background(), sandbox.Config{})
		if err != nil {
			return err.Error()
		}
		defer r.Close()
		b, err := os.ReadFile(a[0])
		if err == nil {
			err = r.StartFrom(b)
		}
		if err != nil {
			return err.Error()
		}
		im, err := image()
		if err != nil {
			return err.Error()
		}
		list, err := verify.Run(context.Background(), r, verify.Options{Only: []string{"TT04"}, Image: im})
		if err != nil || len(list) != 1 {
			return fmt.Sprint(list, err)
		}
		return fmt.Sprint(list[0].State, " ", list[0].Why)
	}
}

// TestTerminalIsLeftBehind: of the layers that keep a cell from the terminal of
// its runner, being without one holds by itself.
func TestTerminalIsLeftBehind(t *testing.T) {
	open(t, sandbox.Config{})
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("UNTESTED(no terminals here: %v)", err)
	}
	defer unix.Close(master)
	var unlock int32
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCSPTLCK, uintptr(unsafe.Pointer(&unlock))); e != 0 {
		t.Fatal(e)
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		edits []edit
		want  string
	}{{nil, "pass "}, {noLeaving, "FAIL terminal"}} {
		tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Skipf("UNTESTED(no terminals here: %v)", err)
		}
		program := filepath.Join(t.TempDir(), "stage")
		if err := os.WriteFile(program, mutant(t, c.edits), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{victim, "ttyrow", program}
		cmd.Stdin = tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
		out, err := cmd.Output()
		tty.Close()
		if err != nil || !strings.HasPrefix(string(out), c.want) {
			t.Errorf("%v: got %q, want %q", err, out, c.want)
		}
	}
}
