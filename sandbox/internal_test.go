//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// samplePlan is an encoded plan to start from.
func samplePlan(t testing.TB) []byte {
	t.Helper()
	p, err := Compile(Spec{CallID: "x", Argv: []string{"/bin/true", "a b", ""}}, Facts{
		Identity: Identity{1, 1}, Memory: "approximate", Notify: true,
		Root: []RootEntry{{Path: "/usr", Dir: true}, {Path: "/bin", Link: "usr/bin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p.Bytes()
}

func TestDecodeReturnsWhatWasEncoded(t *testing.T) {
	ops, err := decodeOps(samplePlan(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range ops {
		names = append(names, o.code.String())
	}
	got := strings.Join(slices.Compact(names), " ")
	const want = "SETID UNSHARE MAP BOUNDS ROOT MKDIR TREE SYMLINK MKDIR FILE MKDIR FILE TREE FILE TREE FILE TREE FILE TREE " +
		"FILE TREE SYMLINK MKDIR TMPFS MKDIR TMPFS MKDIR TMPFS MKDIR PROC HOSTNAME PIVOT KEYRING RLIMIT NICE UMASK " +
		"CAPS NNP CLOSE SECCOMP REPORT CHDIR EXEC"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	last := ops[len(ops)-1]
	if last.text != "/bin/true" || last.b != 3 {
		t.Errorf("exec %+v", last)
	}
}

// checkBoth feeds one input to both decoders: neither may crash, and what the
// stage accepts Go must be able to read.
func checkBoth(t *testing.T, b []byte) {
	ops, err := decodeOps(b)
	if stageErr := stage.Check(b); stageErr == nil && err != nil {
		t.Fatalf("the stage accepts what Go cannot read: %v", err)
	} else if stageErr == nil {
		filter := slices.IndexFunc(ops, func(o op) bool { return o.code == stage.Seccomp })
		var end []stage.Code
		for _, o := range ops[filter+1:] {
			if o.code != stage.Chdir {
				end = append(end, o.code)
			}
		}
		if !slices.Equal(end, []stage.Code{stage.Report, stage.Exec}) && !slices.Equal(end, []stage.Code{stage.Report, stage.Barrier}) {
			t.Fatalf("the stage accepts a plan that ends in %v", end)
		}
	}
}

func FuzzDecoders(f *testing.F) {
	f.Add(samplePlan(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { checkBoth(t, b) })
}

// TestDecodersOnDamagedPlans is the fuzzer's body over systematic damage.
func TestDecodersOnDamagedPlans(t *testing.T) {
	plan := samplePlan(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range stage.HeaderSize + 70*stage.OpSize {
		for _, v := range []byte{0, 0x7f, 0xff} {
			b := bytes.Clone(plan)
			b[i] = v
			checkBoth(t, b)
		}
	}
	for range 500 {
		b := bytes.Clone(plan)
		for range 1 + rng.IntN(8) {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		checkBoth(t, b[:rng.IntN(len(b)+1)])
		checkBoth(t, b)
	}
}

// TestStageRequiresItsBackbone: a plan that lacks, repeats or displaces a
// required step is refused before anything happens.
func TestStageRequiresItsBackbone(t *testing.T) {
	plan := samplePlan(t)
	ops, err := decodeOps(plan)
	if err != nil {
		t.Fatal(err)
	}
	required := []stage.Code{stage.Unshare, stage.Map, stage.Bounds, stage.Root, stage.Proc, stage.Pivot, stage.Keyring,
		stage.Caps, stage.NNP, stage.Close, stage.Seccomp, stage.Report, stage.Exec}
	at := func(i int) []byte { return plan[stage.HeaderSize+i*stage.OpSize:][:stage.OpSize] }
	for i, o := range ops {
		if !slices.Contains(required, o.code) {
			continue
		}
		without := bytes.Clone(plan[:stage.HeaderSize+i*stage.OpSize])
		without = append(without, plan[stage.HeaderSize+(i+1)*stage.OpSize:]...)
		without[12]--
		if stage.Check(without) == nil {
			t.Errorf("a plan without %v is accepted", o.code)
		}
		if i+1 < len(ops) {
			swapped := bytes.Clone(plan)
			copy(swapped[stage.HeaderSize+i*stage.OpSize:], at(i+1))
			copy(swapped[stage.HeaderSize+(i+1)*stage.OpSize:], at(i))
			if slices.Contains(required, ops[i+1].code) && stage.Check(swapped) == nil {
				t.Errorf("%v after %v is accepted", o.code, ops[i+1].code)
			}
		}
	}
	if err := stage.Check(plan); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestCapturerKeepsHeadAndTail(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		data := make([]byte, rng.IntN(300))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		limit := int64(1 + rng.IntN(120))
		c := newCapturer(limit)
		for rest := data; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			c.write(rest[:n])
			rest = rest[n:]
		}
		got := c.capture()
		half := int(limit+1) / 2
		if len(data) <= 2*half {
			if !bytes.Equal(got.Head, data) || got.Omitted() != 0 {
				t.Fatalf("limit %d: %d of %d bytes", limit, len(got.Head), len(data))
			}
			continue
		}
		if !bytes.Equal(got.Head, data[:half]) || !bytes.Equal(got.Tail, data[len(data)-half:]) || got.Total != int64(len(data)) {
			t.Fatalf("limit %d, %d bytes: head %d, tail %d", limit, len(data), len(got.Head), len(got.Tail))
		}
	}
}

func TestMountComparison(t *testing.T) {
	want := []wantMount{{point: "/", fstype: "tmpfs", options: []string{"ro"}}, {point: "/usr", options: []string{"ro", "nosuid"}, recursive: true}}
	good := []MountFact{{"/", "tmpfs", "ro,nosuid"}, {"/usr", "ext4", "ro,nosuid,nodev"}, {"/usr/share", "ext4", "ro,nosuid"}}
	if err := compareMounts(good, want); err != nil {
		t.Fatalf("control: %v", err)
	}
	bad := map[string]func([]MountFact) []MountFact{
		"Missing":       func(m []MountFact) []MountFact { return m[:1] },
		"Unplanned":     func(m []MountFact) []MountFact { return append(m, MountFact{"/mnt", "ext4", "ro,nosuid"}) },
		"Looser":        func(m []MountFact) []MountFact { m[1].Options = "rw,nosuid"; return m },
		"LooserBelow":   func(m []MountFact) []MountFact { m[2].Options = "ro"; return m },
		"OtherKind":     func(m []MountFact) []MountFact { m[0].Type = "ext4"; return m },
		"Stacked":       func(m []MountFact) []MountFact { return append(m, m[1]) },
		"OptionInName":  func(m []MountFact) []MountFact { m[1].Options = "rox,nosuid"; return m },
		"NotRecursive":  func(m []MountFact) []MountFact { return append(m, MountFact{"/home", "tmpfs", "ro"}) },
		"SimilarPrefix": func(m []MountFact) []MountFact { return append(m, MountFact{"/usrx", "ext4", "ro,nosuid"}) },
	}
	for name, f := range bad {
		t.Run(name, func(t *testing.T) {
			if compareMounts(f(slices.Clone(good)), want) == nil {
				t.Fatal("accepted")
			}
		})
	}
}

func TestUnknownFileSystemsHoldNoFiles(t *testing.T) {
	d := disks{"ext4": true, "xfs": true}
	for fstype, want := range map[string]bool{
		"ext4": true, "tmpfs": true, "overlay": true, "fuse.sshfs": true, "fuseblk": true, "nfs4": true,
		"proc": false, "sysfs": false, "devtmpfs": false, "devpts": false, "cgroup": false, "cgroup2": false,
		"securityfs": false, "debugfs": false, "tracefs": false, "bpf": false, "mqueue": false, "configfs": false,
		"fusectl": false, "binfmt_misc": false, "efivarfs": false, "pstore": false, "nsfs": false, "": false,
		"nobody-knows": false,
	} {
		if d.holdsFiles(fstype) != want {
			t.Errorf("%q: %v", fstype, !want)
		}
	}
}

func TestMountTableFields(t *testing.T) {
	list, err := parseHostMounts("22 27 0:21 / /a\u3000b\\040c rw,relatime shared:1 master:2 - proc proc rw\n")
	if err != nil || len(list) != 1 || list[0] != (hostMount{22, "0:21", "/", "/a\u3000b c", "proc"}) {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, bad := range []string{"x\n", "22 27 0:21 / /a rw,relatime\n", "no 27 0:21 / /a rw - proc proc rw\n"} {
		if _, err := parseHostMounts(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
