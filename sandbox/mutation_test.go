//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"github.com/holdfast-run/holdfast/sandbox/verify"
	"golang.org/x/sys/unix"
)

// opOf is one encoded operation, which a mutation may change.
type opOf []byte

func (o opOf) setCode(c stage.Code) { binary.LittleEndian.PutUint32(o, uint32(c)) }
func (o opOf) x(i int) uint64       { return binary.LittleEndian.Uint64(o[16+8*i:]) }
func (o opOf) setX(i int, v uint64) { binary.LittleEndian.PutUint64(o[16+8*i:], v) }

// blob returns the text of an operation in its plan, to be changed in place.
func blob(plan []byte, o opOf) []byte {
	n := int(binary.LittleEndian.Uint32(plan[12:]))
	off := stage.HeaderSize + n*stage.OpSize + int(binary.LittleEndian.Uint64(o[48:]))
	return plan[off : off+int(binary.LittleEndian.Uint64(o[56:]))]
}

// mutate returns a rewriting of plans that changes every operation.
func mutate(f func(plan []byte, c stage.Code, o opOf)) func([]byte) []byte {
	return func(p []byte) []byte {
		p = slices.Clone(p)
		for i, c := range ops(p) {
			at := stage.HeaderSize + i*stage.OpSize
			f(p, c, opOf(p[at:at+stage.OpSize]))
		}
		return p
	}
}

// noop turns an operation of the tool's phase into one that changes nothing.
func noop(o opOf) {
	o.setCode(stage.Umask)
	binary.LittleEndian.PutUint32(o[8:], 0o022)
}

// The layers, each as what takes it away.
func noFilter(p []byte, c stage.Code, o opOf) {
	if c == stage.Seccomp { // its first instruction allows everything
		copy(blob(p, o), []byte{0x06, 0, 0, 0, 0, 0, 0xff, 0x7f})
	}
}

func noLandlock(_ []byte, c stage.Code, o opOf) {
	if c == stage.Landlock {
		noop(o)
	}
}

func writableMounts(_ []byte, c stage.Code, o opOf) {
	if c == stage.Tree {
		o.setX(0, o.x(0)&^1)
	}
}

func without(flag uint64) func([]byte, stage.Code, opOf) {
	return func(_ []byte, c stage.Code, o opOf) {
		if c == stage.Unshare {
			o.setX(0, o.x(0)&^flag)
		}
	}
}

func noQuota(_ []byte, c stage.Code, o opOf) {
	if c == stage.Tmpfs {
		o.setX(0, 64<<20)
		o.setX(1, 20_000)
	}
}

func noRlimits(_ []byte, c stage.Code, o opOf) {
	if c == stage.Rlimit {
		noop(o)
	}
}

func realClock(p []byte, c stage.Code, o opOf) {
	if c == stage.TimeNS {
		for i, b := range blob(p, o) {
			if b >= '1' && b <= '9' {
				blob(p, o)[i] = '0'
			}
		}
	}
}

// TestRowsTurnRed takes layers away, with those that back them up and with the
// attestation, which would not let such a cell start: a row that the layer must
// stop by itself fails then, and passes with all of them.
func TestRowsTurnRed(t *testing.T) {
	all := func(list ...func([]byte, stage.Code, opOf)) func([]byte) []byte {
		return mutate(func(p []byte, c stage.Code, o opOf) {
			for _, f := range list {
				f(p, c, o)
			}
		})
	}
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		layer  string
		row    string
		change func(*sandbox.Runner)
		green  bool // the layers that are left stop it still
	}{
		{"S seccomp", "NW11", func(r *sandbox.Runner) { r.Rewrite(all(noFilter)) }, false},
		{"S seccomp", "KS10", func(r *sandbox.Runner) { r.Rewrite(all(noFilter)) }, false},
		{"S seccomp", "KS06", func(r *sandbox.Runner) { r.Rewrite(all(noFilter)) }, true}, // the kernel's own answer
		{"S seccomp, its listener", "KS09", func(r *sandbox.Runner) { r.Rewrite(all(noFilter)) }, false},
		{"C without S", "FS15", func(r *sandbox.Runner) { r.Rewrite(all(noFilter)) }, true},
		{"C without S", "KS05", func(r *sandbox.Runner) { r.Rewrite(all(noFilter)) }, false}, // not all of them need a capability
		{"N net and S", "NW10", func(r *sandbox.Runner) { r.Rewrite(all(noFilter, without(0x40000000))) }, false},
		{"N ipc", "PS02", func(r *sandbox.Runner) { r.Rewrite(all(without(0x08000000))) }, false},
		{"M without O and L", "FS18", func(r *sandbox.Runner) { r.WithoutOverlay(); r.Rewrite(all(writableMounts, noLandlock)) }, false},
		{"L without O and M", "FS18", func(r *sandbox.Runner) { r.WithoutOverlay(); r.Rewrite(all(writableMounts)) }, true},
		{"O without L and M", "FS18", func(r *sandbox.Runner) { r.Rewrite(all(writableMounts, noLandlock)) }, true},
		{"N time", "IL10", func(r *sandbox.Runner) { r.Rewrite(all(realClock)) }, false},
		{"O overlay", "FS23", func(r *sandbox.Runner) { r.WithoutOverlay() }, false},
		{"O overlay", "FS22", func(r *sandbox.Runner) { r.WithoutOverlay() }, false},
		{"O filters", "FS22", func(r *sandbox.Runner) { r.ReleaseAll() }, false},
		{"G quotas", "FS24", func(r *sandbox.Runner) { r.Rewrite(all(noQuota)) }, false},
		{"G rlimits", "RS05", func(r *sandbox.Runner) { r.Rewrite(all(noRlimits)) }, false},
		{"X gate", "NW05", func(r *sandbox.Runner) { r.Loosen(sandbox.HostRule{Host: "evilgate.test", Port: 80}) }, false},
		{"X gate", "NW18", func(r *sandbox.Runner) { r.Loosen(verify.Hosts[1]) }, false},
		{"A attestation, against a lost layer", "PS02", func(r *sandbox.Runner) { r.Strictly(); r.Rewrite(all(without(0x08000000))) }, false},
	} {
		t.Run(m.layer+" "+m.row, func(t *testing.T) {
			try := func(r *sandbox.Runner) verify.Outcome {
				list, err := verify.Run(t.Context(), r, verify.Options{Only: []string{m.row}, Image: im})
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				return list[0]
			}
			r := open(t, sandbox.Config{Hosts: verify.Hosts})
			if o := try(r); o.State == verify.Untested {
				t.Skipf("UNTESTED(%s)", o.Why)
			} else if o.State != verify.Pass {
				t.Fatalf("with all layers: %s", o.Why)
			}
			r.Lenient()
			m.change(r)
			if o := try(r); (o.State == verify.Pass) != m.green {
				t.Errorf("without: %s %s", o.State, o.Why)
			} else {
				t.Logf("without: %s %.200s", o.State, o.Why)
			}
		})
	}
	removeQueues(4711) // what the lost ipc namespace left on the host
}

// removeQueues removes the queue and the semaphore with a key.
func removeQueues(key uintptr) {
	if id, _, e := unix.Syscall(unix.SYS_MSGGET, key, 0o666, 0); e == 0 {
		unix.Syscall(unix.SYS_MSGCTL, id, 0, 0)
	}
	if id, _, e := unix.Syscall(unix.SYS_SEMGET, key, 1, 0o666); e == 0 {
		unix.Syscall(unix.SYS_SEMCTL, id, 0, 0)
	}
}
