//go:build linux && (amd64 || arm64)

package bpf

import "syscall"

// Options are the few choices a policy has. The zero value is the tightest.
type Options struct {
	// SharedMemory allows memory files and SysV segments. They are charged to
	// nobody unless a cgroup counts the cell.
	SharedMemory bool
}

// Policy is a system-call policy: rules by number, and what is known to exist.
type Policy struct {
	rules [limit]Rule
}

// limit is above every known number; what lies beyond is unknown.
const limit = 1024

// x32Bit marks calls of the x32 interface of x86-64.
const x32Bit = 0x40000000

// New returns the policy for o.
func New(o Options) *Policy {
	p := &Policy{}
	for i := range p.rules {
		// unknown or newer: the C library falls back
		p.rules[i] = Rule{Default: Errno(syscall.ENOSYS)}
	}
	for _, nr := range numbers {
		p.rules[nr] = Rule{Default: Errno(syscall.EPERM)}
	}
	for name, r := range table(o) {
		if nr, ok := numbers[name]; ok {
			p.rules[nr] = r
		}
	}
	return p
}

// Verdict says what the policy means for a call, without any program.
func (p *Policy) Verdict(in Input) Action {
	switch {
	case in.Arch != AuditArch:
		return Kill
	case in.NR == ^uint32(0):
		return Errno(syscall.ENOSYS)
	case in.NR&x32Bit != 0:
		return Kill
	case in.NR >= limit:
		return Errno(syscall.ENOSYS)
	}
	return p.rules[in.NR].verdict(in.Args)
}

// Compile assembles the policy.
func (p *Policy) Compile() Program {
	var spans []span
	for nr, r := range p.rules {
		if n := len(spans); n > 0 && len(r.Cases) == 0 && spans[n-1].plain(r.Default) {
			continue
		}
		spans = append(spans, span{uint32(nr), r})
	}
	enosys, kill := Rule{Default: Errno(syscall.ENOSYS)}, Rule{Default: Kill}
	spans = append(spans, span{limit, enosys}, span{x32Bit, kill}, span{2 * x32Bit, enosys},
		span{3 * x32Bit, kill}, span{^uint32(0), enosys})
	return assemble(spans)
}
