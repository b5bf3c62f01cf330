//go:build linux && (amd64 || arm64)

package bpf_test

import (
	"math/rand/v2"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
)

var options = []bpf.Options{{}, {SharedMemory: true}, {Notify: true}, {SharedMemory: true, Notify: true},
	{Network: true}, {Network: true, SharedMemory: true, Notify: true}, {Terminal: true}, {Terminal: true, Notify: true}}

// words are argument values at which some rule turns.
var words = []uint64{0, 1, 2, 3, 4, 5, 8, 16, 17, 22, 35, 40, 47, 0x5401, 0x540E, 0x5422, 0x5441, 0x80045430, 0x40045431, 0x5412, 0x541C, 0x5423, 0x5413,
	0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x01200011,
	0o100, 0o4755, 0o2755, 0o6755, 0o20000000, 0o104755, 0o010000, 0o020644, 0o060000, 0o100644, 0o140000, 0x59616d61, 0x53564d41, 0x40049409,
	7, 32, 33, 1024, 1026, 1040, 0xffffffff, 0x100000000, 0x541200005412, 0xffffffff00000000, 0xffffffffffffffff}

// TestProgramEqualsPolicy runs the assembled program and the table on the same
// calls: every number, arguments at which rules turn, high words, other
// architectures.
func TestProgramEqualsPolicy(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, o := range options {
		policy := bpf.New(o)
		prog := policy.Compile()
		same := func(in bpf.Input) {
			t.Helper()
			got, _, err := prog.Run(in)
			if want := policy.Verdict(in); err != nil || got != want {
				t.Fatalf("%+v: program says %v (%v), policy %v", in, got, err, want)
			}
		}
		numbers := []uint32{0x40000000, 0x40000001, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000,
			0xfffffffe, 0xffffffff, 1024, 1 << 16}
		for nr := range uint32(1200) {
			numbers = append(numbers, nr)
		}
		for _, nr := range numbers {
			for _, arch := range []uint32{bpf.AuditArch, 0, 0x40000003, 0xffffffff} {
				same(bpf.Input{NR: nr, Arch: arch})
			}
			for _, w := range words {
				for arg := range 3 {
					in := bpf.Input{NR: nr, Arch: bpf.AuditArch}
					in.Args[arg] = w
					same(in)
				}
			}
			for range 20 {
				in := bpf.Input{NR: nr, Arch: bpf.AuditArch}
				for i := range in.Args {
					in.Args[i] = words[rng.IntN(len(words))]
				}
				same(in)
				in.Args[rng.IntN(6)] = rng.Uint64()
				same(in)
			}
		}
	}
}

// TestProgramIsSmall keeps the cost of loading the filter in bounds.
func TestProgramIsSmall(t *testing.T) {
	prog := bpf.New(bpf.Options{}).Compile()
	if len(prog) > 320 {
		t.Fatalf("%d instructions", len(prog))
	}
	sum, most := 0, 0
	for nr := range uint32(470) {
		_, n, err := prog.Run(bpf.Input{NR: nr, Arch: bpf.AuditArch})
		if err != nil {
			t.Fatal(err)
		}
		sum, most = sum+n, max(most, n)
	}
	t.Logf("%d instructions; %d steps on average, %d at most", len(prog), sum/470, most)
}

// TestProgramCatchesMutation shows that the comparison above can fail.
func TestProgramCatchesMutation(t *testing.T) {
	policy := bpf.New(bpf.Options{})
	prog := policy.Compile()
	differs := func(m bpf.Program) bool {
		for nr := range uint32(500) {
			for _, w := range []uint64{0, 4, 1 << 32, 1<<64 - 1} {
				in := bpf.Input{NR: nr, Arch: bpf.AuditArch, Args: [6]uint64{w, w, w, w, w, w}}
				if got, _, err := m.Run(in); err != nil || got != policy.Verdict(in) {
					return true
				}
			}
		}
		return false
	}
	caught := 0
	for i := range prog {
		m := append(bpf.Program(nil), prog...)
		m[i].K ^= 1
		if differs(m) {
			caught++
		}
	}
	if caught < len(prog)/2 {
		t.Fatalf("only %d of %d mutations change a verdict", caught, len(prog))
	}
}
