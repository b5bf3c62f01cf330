package tasks

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A slot is described by one line:
//
//	one a|b|c      one of these
//	int 10 99      a whole number in this range
//	word           an invented word of two or three syllables
//	name           a person's first name
//	sum {a} {b}    arithmetic over other slots: sum, difference, product

// drawAll draws the value of every slot. Slots are drawn by name, so that adding one
// does not change the others.
func drawAll(id string, slots map[string]string, seed uint64) (map[string]string, error) {
	values := map[string]string{}
	var later []string
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		v, ready, err := draw(slots[name], source(id, name, seed))
		if err != nil {
			return nil, fmt.Errorf("slot %s: %w", name, err)
		}
		if !ready {
			later = append(later, name)
			continue
		}
		values[name] = v
	}
	for _, name := range later {
		v, err := compute(slots[name], values)
		if err != nil {
			return nil, fmt.Errorf("slot %s: %w", name, err)
		}
		values[name] = v
	}
	return values, nil
}

func source(id, name string, seed uint64) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(id + "\x00" + name))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// draw draws one slot; ready is false for one that is computed from others.
func draw(spec string, r *rand.Rand) (value string, ready bool, err error) {
	kind, rest, _ := strings.Cut(spec, " ")
	switch kind {
	case "one":
		list := strings.Split(rest, "|")
		return list[r.IntN(len(list))], true, nil
	case "int":
		var low, high int
		if _, err := fmt.Sscanf(rest, "%d %d", &low, &high); err != nil || high < low {
			return "", false, fmt.Errorf("range %q is not two numbers in order", rest)
		}
		return strconv.Itoa(low + r.IntN(high-low+1)), true, nil
	case "word":
		return word(r), true, nil
	case "name":
		return names[r.IntN(len(names))], true, nil
	case "sum", "difference", "product":
		return "", false, nil
	}
	return "", false, fmt.Errorf("description %q is not known", spec)
}

var names = strings.Fields("Ada Bela Cem Dora Edda Falk Gita Henk Ilka Jost Kaja Lars Milo Nele Olaf Pia Rolf Suri Tove Uwe Vera Wim")

var (
	onsets = strings.Fields("b d f g k l m n p r s t v br dr gl kr pl st tr")
	vowels = strings.Fields("a e i o u")
	codas  = strings.Fields("l m n r s t")
)

func word(r *rand.Rand) string {
	var b strings.Builder
	for range 2 + r.IntN(2) {
		b.WriteString(onsets[r.IntN(len(onsets))] + vowels[r.IntN(len(vowels))])
	}
	return b.String() + codas[r.IntN(len(codas))]
}

// compute evaluates "sum {a} {b}" and its kin.
func compute(spec string, values map[string]string) (string, error) {
	f := filler{values: values}
	kind, rest, _ := strings.Cut(f.fill(spec), " ")
	var a, b int
	if _, err := fmt.Sscanf(rest, "%d %d", &a, &b); err != nil || f.missing != "" {
		return "", fmt.Errorf("%q does not name two numbers", spec)
	}
	switch kind {
	case "sum":
		return strconv.Itoa(a + b), nil
	case "difference":
		return strconv.Itoa(a - b), nil
	}
	return strconv.Itoa(a * b), nil
}

// filler puts values into texts and notes a slot that has none.
type filler struct {
	values  map[string]string
	missing string
}

var slot = regexp.MustCompile(`\{([a-z][a-z0-9]*)\}`)

func (f *filler) fill(s string) string {
	return slot.ReplaceAllStringFunc(s, func(m string) string {
		name := m[1 : len(m)-1]
		v, ok := f.values[name]
		if !ok {
			f.missing = name
		}
		return v
	})
}

func (f *filler) fillMap(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[f.fill(k)] = f.fill(v)
	}
	return out
}

func (f *filler) fillAll(list []string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = f.fill(s)
	}
	return out
}
