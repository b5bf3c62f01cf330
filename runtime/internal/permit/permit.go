// Package permit holds the right to run one tool call once.
//
// It exists apart from the vocabulary so that only packages below runtime/ can
// call Mint: a tool, a judge or a command can hold a Permit but cannot make one.
// It imports nothing of the project. A Permit may be copied and shared between
// goroutines; all copies are spent by the first Spend.
package permit

import (
	"errors"
	"sync/atomic"
)

// Profile says how much of the machine a cell may see. The zero value is the
// strictest.
type Profile uint8

// The profiles of the sandbox, strictest first.
const (
	Strict Profile = iota
	Standard
	Reduced
)

// String returns the profile's name as flags and ledger rows spell it.
func (p Profile) String() string {
	switch p {
	case Strict:
		return "strict"
	case Standard:
		return "standard"
	case Reduced:
		return "reduced"
	}
	return "unknown"
}

// Grant is what a decision widens for one call. The zero Grant widens nothing:
// strict profile, workspace read-only, no network, no secrets.
type Grant struct {
	Profile Profile  `json:"profile"`
	Write   bool     `json:"write"`             // the workspace may be changed
	Drop    bool     `json:"drop,omitempty"`    // what is changed is dropped when the call is over
	Hosts   []string `json:"hosts,omitempty"`   // hosts the call may reach
	Secrets []string `json:"secrets,omitempty"` // names of secrets the call is given
}

// Widens reports whether the grant gives anything beyond the zero Grant.
func (g Grant) Widens() bool {
	return g.Profile != Strict || g.Write || len(g.Hosts) > 0 || len(g.Secrets) > 0
}

// Permit is the right to run one call once. The zero Permit covers no call.
type Permit struct {
	seq   int64
	call  [32]byte
	grant Grant
	spent *atomic.Bool
}

var (
	// ErrNotCovered means the permit was issued for another call, or for none.
	ErrNotCovered = errors.New("permit does not cover this call")
	// ErrSpent means the permit has been used before.
	ErrSpent = errors.New("permit is already spent")
)

// Mint makes the permit for the call with the given digest. seq is the ledger
// position of the committed decision that allows it and must be positive; any
// other value yields the zero Permit, which covers nothing.
func Mint(seq int64, call [32]byte, g Grant) Permit {
	if seq <= 0 {
		return Permit{}
	}
	return Permit{seq: seq, call: call, grant: g, spent: new(atomic.Bool)}
}

// Covers reports whether the permit is for the call with this digest. It does
// not say whether the permit is spent.
func (p Permit) Covers(call [32]byte) bool {
	return p.spent != nil && p.seq > 0 && p.call == call
}

// Spend uses the permit for the call with this digest. It returns ErrNotCovered
// for any other call and ErrSpent on every use but the first.
func (p Permit) Spend(call [32]byte) error {
	if !p.Covers(call) {
		return ErrNotCovered
	}
	if !p.spent.CompareAndSwap(false, true) {
		return ErrSpent
	}
	return nil
}

// Decision is the ledger position of the decision behind the permit, 0 for the
// zero Permit.
func (p Permit) Decision() int64 { return p.seq }

// Grant is what the decision widened for the call.
func (p Permit) Grant() Grant { return p.grant }
