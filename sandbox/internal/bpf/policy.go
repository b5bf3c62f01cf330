//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
)

// Options are the few choices a policy has. The zero value is the tightest.
type Options struct {
	// SharedMemory allows memory files and SysV segments. They are charged to
	// nobody unless a cgroup counts the cell.
	SharedMemory bool
	// Network allows sockets of IPv4, for a cell whose network leads nowhere but
	// to a gate.
	Network bool
	// Terminal allows what programs do with pseudo-terminals that they make, and with
	// one that controls them, for a cell that has a file system of its own for them.
	Terminal bool
	// Notify asks the listener about each call that would fail with an error
	// listed in Recorded, so that it can be recorded. The answer is the error.
	Notify bool
}

// Recorded are the errors that mean: somebody tried what a cell may not do.
// Those that tell a program what the machine has are not among them.
var Recorded = []syscall.Errno{syscall.EPERM, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT}

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
	if o.Notify {
		for nr := range p.rules {
			p.rules[nr] = p.rules[nr].asking()
		}
	}
	return p
}

// asking returns the rule with recorded errors turned into questions.
func (r Rule) asking() Rule {
	turn := func(a Action) Action {
		for _, e := range Recorded {
			if a == Errno(e) {
				return Notify
			}
		}
		return a
	}
	r.Default = turn(r.Default)
	r.Cases = slices.Clone(r.Cases)
	for i := range r.Cases {
		r.Cases[i].Then = turn(r.Cases[i].Then)
	}
	return r
}

// Errno returns the errno of a verdict, 0 if it is none.
func (a Action) Errno() syscall.Errno {
	if a&0xffff0000 != 0x00050000 {
		return 0
	}
	return syscall.Errno(a & 0xffff)
}

// names are the calls of this architecture by number.
var names = sync.OnceValue(func() map[uint32]string {
	m := make(map[uint32]string, len(numbers))
	for name, nr := range numbers {
		m[uint32(nr)] = name
	}
	return m
})

// Name returns the name of a call, or its number.
func Name(nr uint32) string {
	if s, ok := names()[nr]; ok {
		return s
	}
	return fmt.Sprint(nr)
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

// Number returns the number of a call on this architecture.
func Number(name string) (uint32, bool) {
	nr, ok := numbers[name]
	return nr, ok
}

// Allowed lists the calls of this architecture that a policy allows whatever
// their arguments, and those that it allows for some.
func Allowed(o Options) (always, somehow []string) {
	for name, r := range table(o) {
		if _, ok := numbers[name]; !ok {
			continue
		}
		some := r.Default == Allow
		for _, c := range r.Cases {
			some = some || c.Then == Allow
		}
		switch {
		case len(r.Cases) == 0 && r.Default == Allow:
			always = append(always, name)
		case some:
			somehow = append(somehow, name)
		}
	}
	slices.Sort(always)
	slices.Sort(somehow)
	return always, somehow
}
