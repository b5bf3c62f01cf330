//go:build linux && (amd64 || arm64)

package bpf

// span is a run of call numbers with one rule, starting at from.
type span struct {
	from uint32
	rule Rule
}

// plain reports whether the span has this verdict whatever the arguments.
func (s span) plain(a Action) bool { return len(s.rule.Cases) == 0 && s.rule.Default == a }

// item is an instruction whose jumps are labels; 0 is the next instruction.
type item struct {
	insn Insn
	t, f int
	// a conditional jump reaches 255 instructions; further ones go through an
	// unconditional jump placed behind it
	farT, farF bool
}

// assembler builds a balanced tree of comparisons: a linear list costs more to
// load than everything else the filter needs. Verdicts that do not depend on
// arguments are shared returns at the end.
type assembler struct {
	items   []item
	at      map[int]int // label to item
	labels  int
	returns map[Action]int
}

// assemble returns the program for spans, which start at 0 and ascend.
func assemble(spans []span) Program {
	a := &assembler{at: map[int]int{}, returns: map[Action]int{}}
	a.emit(Insn{Op: ldAbs, K: 4})
	a.jump(Insn{Op: jeqK, K: AuditArch}, 0, a.verdict(Kill))
	a.emit(Insn{Op: ldAbs, K: 0})
	a.tree(spans)
	for _, act := range a.order() {
		a.at[a.returns[act]] = len(a.items)
		a.emit(Insn{Op: retK, K: uint32(act)})
	}
	for a.stretch() {
	}
	return a.link()
}

func (a *assembler) emit(i Insn) { a.items = append(a.items, item{insn: i}) }

func (a *assembler) jump(i Insn, t, f int) { a.items = append(a.items, item{insn: i, t: t, f: f}) }

func (a *assembler) label() int {
	a.labels++
	return a.labels
}

// verdict returns the label of a shared return.
func (a *assembler) verdict(act Action) int {
	if a.returns[act] == 0 {
		a.returns[act] = a.label()
	}
	return a.returns[act]
}

// order lists the shared returns by label, so that equal policies give equal
// programs.
func (a *assembler) order() []Action {
	list := make([]Action, 0, len(a.returns))
	for l := 1; l <= a.labels; l++ {
		for act, label := range a.returns {
			if label == l {
				list = append(list, act)
			}
		}
	}
	return list
}

// leaf returns the label of a span's verdict if it is a shared return.
func (a *assembler) leaf(s []span) (int, bool) {
	if len(s) == 1 && len(s[0].rule.Cases) == 0 {
		return a.verdict(s[0].rule.Default), true
	}
	return 0, false
}

func (a *assembler) tree(s []span) {
	if len(s) == 1 {
		for _, i := range s[0].rule.code() {
			// jumps inside a rule are short and relative already
			a.items = append(a.items, item{insn: i, t: -1, f: -1})
		}
		return
	}
	mid := len(s) / 2
	cmp := Insn{Op: jgeK, K: s[mid].from}
	left, leftLeaf := a.leaf(s[:mid])
	right, rightLeaf := a.leaf(s[mid:])
	switch {
	case leftLeaf && rightLeaf:
		a.jump(cmp, right, left)
	case leftLeaf:
		a.jump(cmp, 0, left)
		a.tree(s[mid:])
	case rightLeaf:
		a.jump(cmp, right, 0)
		a.tree(s[:mid])
	default:
		l := a.label()
		a.jump(cmp, l, 0)
		a.tree(s[:mid])
		a.at[l] = len(a.items)
		a.tree(s[mid:])
	}
}

// positions returns where each item starts, given the detours so far.
func (a *assembler) positions() []int {
	pos := make([]int, len(a.items)+1)
	for i, it := range a.items {
		n := 1
		if it.farT {
			n++
		}
		if it.farF {
			n++
		}
		pos[i+1] = pos[i] + n
	}
	return pos
}

// stretch marks jumps that reach too far and reports whether it marked any.
func (a *assembler) stretch() bool {
	pos, changed := a.positions(), false
	far := func(i, label int) bool { return label > 0 && pos[a.at[label]]-pos[i]-1 > 255 }
	for i := range a.items {
		it := &a.items[i]
		if !it.farT && far(i, it.t) {
			it.farT, changed = true, true
		}
		if !it.farF && far(i, it.f) {
			it.farF, changed = true, true
		}
	}
	return changed
}

// link turns labels into distances.
func (a *assembler) link() Program {
	pos := a.positions()
	var p Program
	for i, it := range a.items {
		in := it.insn
		if it.t < 0 || it.t == 0 && it.f == 0 {
			p = append(p, in)
			continue
		}
		end := pos[i+1]
		t, tDetour := a.side(it.t, it.farT, 0, pos[i], end, pos)
		skip := 0
		if it.farT {
			skip = 1
		}
		f, fDetour := a.side(it.f, it.farF, skip, pos[i], end, pos)
		in.Jt, in.Jf = t, f
		p = append(append(append(p, in), tDetour...), fDetour...)
	}
	return p
}

// side resolves one branch: its short distance, and its detour if it is far.
func (a *assembler) side(label int, far bool, skip, at, end int, pos []int) (uint8, Program) {
	switch {
	case label == 0:
		return uint8(end - at - 1), nil
	case far:
		from := at + 1 + skip
		return uint8(skip), Program{{Op: ja, K: uint32(pos[a.at[label]] - from - 1)}}
	}
	return uint8(pos[a.at[label]] - at - 1), nil
}
