package permit_test

import (
	"errors"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/internal/permit"
)

func TestPermit(t *testing.T) {
	call, other := [32]byte{1}, [32]byte{2}
	t.Run("IsSpentByItsFirstUseInAllCopies", func(t *testing.T) {
		p := permit.Mint(7, call, permit.Grant{Write: true})
		q := p
		if err := p.Spend(call); err != nil {
			t.Fatal(err)
		}
		if err := q.Spend(call); !errors.Is(err, permit.ErrSpent) {
			t.Errorf("second use: %v", err)
		}
	})
	t.Run("CoversItsOwnCallOnly", func(t *testing.T) {
		p := permit.Mint(7, call, permit.Grant{})
		if err := p.Spend(other); !errors.Is(err, permit.ErrNotCovered) {
			t.Errorf("use for another call: %v", err)
		}
		if err := p.Spend(call); err != nil {
			t.Errorf("a refused use spent the permit: %v", err)
		}
	})
	t.Run("IsNotMintedWithoutADecision", func(t *testing.T) {
		for _, seq := range []int64{0, -1} {
			if permit.Mint(seq, call, permit.Grant{}).Covers(call) {
				t.Errorf("position %d gave a permit", seq)
			}
		}
	})
	t.Run("ZeroGrantWidensNothing", func(t *testing.T) {
		var g permit.Grant
		if g.Write || g.Hosts != nil || g.Profile != permit.Strict {
			t.Errorf("zero grant is %+v", g)
		}
	})
}
