//go:build linux && (amd64 || arm64)

// Package bpf turns the system-call policy of a cell into a seccomp filter,
// and can run such a filter in Go to check what it says.
//
// It installs nothing. Its values are immutable once made and its functions
// may be called from any goroutine.
package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Classic BPF, as far as the assembler uses it.
const (
	ldAbs = 0x20 // A = word at K of the input
	andK  = 0x54 // A &= K
	ja    = 0x05 // skip K instructions
	jeqK  = 0x15
	jgeK  = 0x35
	retK  = 0x06
)

// Insn is one instruction, struct sock_filter.
type Insn struct {
	Op     uint16
	Jt, Jf uint8
	K      uint32
}

// Program is a filter.
type Program []Insn

// Bytes returns the program as the kernel reads it.
func (p Program) Bytes() []byte {
	b := make([]byte, 0, 8*len(p))
	for _, i := range p {
		b = binary.LittleEndian.AppendUint16(b, i.Op)
		b = append(b, i.Jt, i.Jf)
		b = binary.LittleEndian.AppendUint32(b, i.K)
	}
	return b
}

// Input is what a filter sees, struct seccomp_data.
type Input struct {
	NR   uint32
	Arch uint32
	Args [6]uint64
}

// word returns the 32-bit word at offset k, as LD|W|ABS does.
func (in Input) word(k uint32) (uint32, bool) {
	switch {
	case k == 0:
		return in.NR, true
	case k == 4:
		return in.Arch, true
	case k >= 16 && k < 64 && k%4 == 0:
		return uint32(in.Args[(k-16)/8] >> (8 * (k % 8))), true
	case k == 8 || k == 12:
		return 0, true // instruction pointer: no policy depends on it
	}
	return 0, false
}

// Run executes the program and returns its verdict and the number of
// instructions it took.
func (p Program) Run(in Input) (Action, int, error) {
	var a uint32
	steps := 0
	for pc := 0; pc < len(p); {
		steps++
		i := p[pc]
		pc++
		switch i.Op {
		case ldAbs:
			w, ok := in.word(i.K)
			if !ok {
				return 0, steps, fmt.Errorf("instruction %d loads from %d", pc-1, i.K)
			}
			a = w
		case andK:
			a &= i.K
		case ja:
			pc += int(i.K)
		case jeqK:
			pc += branch(a == i.K, i)
		case jgeK:
			pc += branch(a >= i.K, i)
		case retK:
			return Action(i.K), steps, nil
		default:
			return 0, steps, fmt.Errorf("instruction %d has code %#x", pc-1, i.Op)
		}
	}
	return 0, steps, errors.New("program runs past its end")
}

func branch(taken bool, i Insn) int {
	if taken {
		return int(i.Jt)
	}
	return int(i.Jf)
}
