package safety_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// anyInput draws an input with every field of it set, also to values outside the declared
// sets. A field that this test does not know fails it.
func anyInput(t *testing.T, r *rand.Rand) safety.Input {
	var in safety.Input
	v := reflect.ValueOf(&in).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch {
		case f.Kind() == reflect.Bool:
			f.SetBool(r.IntN(2) == 0)
		case f.Type() == reflect.TypeFor[policy.Questions]():
			f.SetUint(uint64(r.IntN(256)))
		case f.CanUint() && f.Type().Size() == 1:
			n := uint64(r.IntN(8)) // the largest set has seven
			if r.IntN(16) == 0 {
				n = 77
			}
			f.SetUint(n)
		default:
			t.Fatalf("field %s of a kind that is not drawn: %s", v.Type().Field(i).Name, f.Type())
		}
	}
	return in
}

// worst are the fields that only make an outcome looser, by name: setting one to its zero
// is a step towards the worse.
var worst = map[string]bool{"Confirmed": true, "Covered": true, "Fresh": true, "OwnContent": true, "Public": true, "Bounded": true,
	"Typed": true, "Answered": true, "Taint": true, "Sinks": true, "Written": true, "Review": true, "Prompt": true}

// TestEveryFieldZeroIsNoLooser draws inputs over all fields and sets one after the other to
// its zero value, which is the worst of its kind. No outcome may become looser, and every
// input has one. Of effects alone a worse one may be looser: a write that loses nothing,
// against a read of what is private.
func TestEveryFieldZeroIsNoLooser(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 7))
	for range 50_000 {
		in := anyInput(t, r)
		base := safety.Decide(in)
		if base.Outcome > agent.Allow || (base.Outcome == agent.Deny) != (base.Code != "") {
			t.Fatalf("seed %d: %+v: %v with code %q", seed, in, base.Outcome, base.Code)
		}
		for i := range reflect.TypeFor[safety.Input]().NumField() {
			w := in
			name := reflect.TypeFor[safety.Input]().Field(i).Name
			reflect.ValueOf(&w).Elem().Field(i).SetZero()
			if name == "Effect" {
				w.Fresh = false
			} else if !worst[name] {
				t.Fatalf("nothing says which value of %s is the worst", name)
			}
			if got := safety.Decide(w).Outcome; got > base.Outcome {
				t.Fatalf("seed %d: no %s loosens %v to %v:\n%+v", seed, name, base.Outcome, got, in)
			}
		}
	}
}
