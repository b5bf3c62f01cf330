//go:build linux && (amd64 || arm64)

package bpf

import (
	"fmt"
	"syscall"
)

// Action is a verdict of a filter, SECCOMP_RET_*.
type Action uint32

const (
	// Kill ends the whole process.
	Kill Action = 0x80000000
	// Notify asks the process that holds the filter's listener.
	Notify Action = 0x7fc00000
	// Allow lets the call happen.
	Allow Action = 0x7fff0000
)

// Errno makes the call fail without happening.
func Errno(e syscall.Errno) Action { return 0x00050000 | Action(e) }

// String returns "allow", "kill" or the errno's name.
func (a Action) String() string {
	switch {
	case a == Allow:
		return "allow"
	case a == Kill:
		return "kill"
	case a == Notify:
		return "notify"
	case a&0xffff0000 == 0x00050000:
		return syscall.Errno(a & 0xffff).Error()
	}
	return fmt.Sprintf("%#x", uint32(a))
}

// Rule is the verdict on one system call: that of the first case that matches,
// else Default. The zero Rule is no valid rule.
type Rule struct {
	Cases   []Case
	Default Action
}

// Case compares the low word of one argument. The kernel takes most of these
// arguments as 32-bit values, so what is in the high word must not decide
// (CVE-2019-10063). Where Null is set, both words must be 0, as of a pointer to
// nothing, and nothing else is compared.
type Case struct {
	Arg  int    // 0..5
	Null bool   // match a null pointer
	Mask uint32 // applied first; 0 stands for all bits
	Not  bool   // match if the value is none of In
	In   []uint32
	Then Action
}

// match says whether the case decides for these arguments.
func (c Case) match(args [6]uint64) bool {
	if c.Null {
		return args[c.Arg] == 0
	}
	v := uint32(args[c.Arg])
	if c.Mask != 0 {
		v &= c.Mask
	}
	for _, w := range c.In {
		if v == w {
			return !c.Not
		}
	}
	return c.Not
}

// verdict evaluates the rule directly, without a program.
func (r Rule) verdict(args [6]uint64) Action {
	for _, c := range r.Cases {
		if c.match(args) {
			return c.Then
		}
	}
	return r.Default
}

// code emits the rule. It ends in a return on every path.
func (r Rule) code() Program {
	var p Program
	for _, c := range r.Cases {
		p = append(p, c.code()...)
	}
	return append(p, Insn{Op: retK, K: uint32(r.Default)})
}

func (c Case) code() Program {
	low := uint32(16 + 8*c.Arg) // of a little-endian machine
	p := Program{{Op: ldAbs, K: low}}
	if c.Null {
		return append(p, Insn{Op: jeqK, Jf: 3}, Insn{Op: ldAbs, K: low + 4}, Insn{Op: jeqK, Jf: 1}, Insn{Op: retK, K: uint32(c.Then)})
	}
	if c.Mask != 0 {
		p = append(p, Insn{Op: andK, K: c.Mask})
	}
	n := len(c.In)
	for i, v := range c.In {
		// a match goes to the return below, or past it for Not
		jt := n - 1 - i
		if c.Not {
			jt++
		}
		jf := 0
		if i == n-1 && !c.Not {
			jf = 1
		}
		p = append(p, Insn{Op: jeqK, Jt: uint8(jt), Jf: uint8(jf), K: v})
	}
	return append(p, Insn{Op: retK, K: uint32(c.Then)})
}
