package tools

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// recorder passes what the sandbox reports of one call on to that call's journal.
// It refuses a report of any other call or decision. It is used by one goroutine
// at a time, as the sandbox promises.
type recorder struct {
	j              agent.Journal
	call, decision string
}

// Planned implements sandbox.Recorder.
func (r *recorder) Planned(ctx context.Context, p sandbox.PlanRecord) error {
	if p.CallID != r.call || p.Decision != r.decision {
		return fmt.Errorf("internal error: plan of call %q under decision %q, want %q under %q",
			p.CallID, p.Decision, r.call, r.decision)
	}
	return r.j.Start(ctx, agent.CallStart{
		Plan: agent.JSON(struct {
			Profile  string             `json:"profile"`
			Decision string             `json:"decision"`
			Argv     []string           `json:"argv"`
			Hosts    []sandbox.HostRule `json:"hosts,omitempty"`
			Secrets  []string           `json:"secrets,omitempty"`
			Kernel   string             `json:"kernel"`
			Memory   string             `json:"memory"`
			Degraded []sandbox.Degraded `json:"degraded,omitempty"`
			Plan     []byte             `json:"plan"` // as the stage gets it
		}{p.Profile.String(), p.Decision, p.Argv, p.Hosts, p.Secrets, p.Facts.Kernel, p.Facts.Memory, p.Degraded, p.Plan}),
		PlanDigest: hex.EncodeToString(p.Digest[:]),
		Cell:       true,
	})
}

// Attested implements sandbox.Recorder.
func (r *recorder) Attested(ctx context.Context, a sandbox.Attestation) error {
	if a.CallID != r.call {
		return fmt.Errorf("internal error: attestation of call %q, want %q", a.CallID, r.call)
	}
	e := agent.CallReady{Attestation: agent.JSON(a)}
	for _, d := range a.Degraded {
		e.Degraded = append(e.Degraded, d.Layer+" "+d.State)
	}
	return r.j.Ready(ctx, e)
}

// Deciding implements sandbox.Recorder. The decision that allowed this call to
// write is on disk; changes under any other are refused.
func (r *recorder) Deciding(_ context.Context, c sandbox.CommitRecord) error {
	if c.CallID != r.call || c.Decision != r.decision || c.Decision == "" {
		return fmt.Errorf("internal error: changes of call %q under decision %q, want %q under %q",
			c.CallID, c.Decision, r.call, r.decision)
	}
	return nil
}

// Finished implements sandbox.Recorder. The end of a call is written by the loop,
// from the observation.
func (r *recorder) Finished(context.Context, sandbox.ResultRecord) error { return nil }
