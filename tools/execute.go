package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// helperTime bounds a file tool, which has nothing to wait for.
const helperTime = 30 * time.Second

// Execute carries out the call that p permits and spends p, whatever becomes of
// the call. The cell gets no more than p grants: its profile, and write access to
// the workspace only for a tool that writes. It commits to j before the first
// effect, and returns j's error, wrapped. An error means that the call did not run
// as decided; it wraps the sandbox's own when the cell could not be built. How the
// tool fared is in the Observation.
func (r *Registry) Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error) {
	began := time.Now()
	if err := p.Spend(c.Digest()); err != nil {
		return agent.Observation{}, fmt.Errorf("spend permit: %w", err)
	}
	t, args, err := r.check(c)
	if err != nil {
		return agent.Observation{}, fmt.Errorf("check call: %w", err)
	}
	var o agent.Observation
	if c.Tool == toolbox.CalculatorTool {
		o, err = calculate(ctx, args["expression"], j)
	} else {
		o, err = r.inCell(ctx, p, t, c, args, j)
	}
	if err != nil {
		return agent.Observation{}, err
	}
	o.Call = c
	o.Origin = agent.Origin{Source: agent.SourceTool, CallID: c.ID, Tool: c.Tool}
	o.Duration = time.Since(began)
	return o, nil
}

// calculate runs the calculator, the one tool that needs no cell: it touches
// nothing but its argument.
func calculate(ctx context.Context, expression string, j agent.Journal) (agent.Observation, error) {
	if err := j.Start(ctx, agent.CallStart{}); err != nil {
		return agent.Observation{}, fmt.Errorf("record start: %w", err)
	}
	text, ok := toolbox.Calculate(expression)
	return agent.Observation{Status: status(ok), Text: Show(text)}, nil
}

func status(ok bool) agent.CallStatus {
	if ok {
		return agent.CallOK
	}
	return agent.CallError
}

// inCell runs a call in a cell of its own.
func (r *Registry) inCell(ctx context.Context, p agent.Permit, t tool, c agent.ToolCall, args map[string]string, j agent.Journal) (agent.Observation, error) {
	spec, err := r.cell(p, t, c, args)
	if err != nil {
		return agent.Observation{}, err
	}
	res, err := r.config.Runner.Run(ctx, spec, &recorder{j: j, call: c.ID, decision: spec.Grants.Decision})
	r.mask.result(&res)
	if errors.Is(err, sandbox.ErrExec) && (c.Tool == RunCommand || t.program != nil) { // the cell was fine
		text := "error: there is no shell to run commands"
		if t.program != nil {
			text = "error: the program of this tool cannot be run"
		}
		return agent.Observation{Status: agent.CallError, Code: "exec", Text: text}, nil
	}
	if err != nil {
		return agent.Observation{}, err
	}
	var o agent.Observation
	if c.Tool == RunCommand || t.program != nil {
		o = command(res)
	} else if o, err = helper(res); err != nil {
		return agent.Observation{}, err
	}
	o.Sandbox = account(res)
	r.mask.account(o.Sandbox)
	return o, nil
}

// cell describes the cell of a call: what the tool needs, within the grant.
func (r *Registry) cell(p agent.Permit, t tool, c agent.ToolCall, args map[string]string) (sandbox.Spec, error) {
	g := p.Grant()
	profile, err := profileOf(g.Profile)
	if err != nil {
		return sandbox.Spec{}, err
	}
	write := g.Write && t.spec.Effect.Rank() >= agent.Write.Rank()
	s := sandbox.Spec{
		CallID:    c.ID,
		Profile:   profile,
		Dir:       sandbox.WorkDir,
		Workspace: &sandbox.Workspace{Dir: r.config.Workspace, Write: write, Drop: write && g.Drop},
		Grants:    sandbox.Grants{Decision: strconv.FormatInt(p.Decision(), 10), Write: write},
		Limits:    r.config.Limits,
	}
	if err := errors.Join(t.reach(&s, g.Hosts), r.entrust(&s, t, g.Secrets)); err != nil {
		return sandbox.Spec{}, err
	}
	if t.program != nil {
		if t.spec.Effect == agent.Pure { // what it returns is taken as computed: it sees no file of anybody's
			s.Workspace, s.Dir = nil, sandbox.TempDir
		}
		err := t.program.fillCell(&s, args)
		return s, err
	}
	if c.Tool == RunCommand {
		s.Argv = []string{"/bin/sh", "-c", args["command"]}
		return s, nil
	}
	if s.Helper, err = image(); err != nil {
		return sandbox.Spec{}, err
	}
	s.Argv = []string{"holdfast-toolbox", c.Tool}
	s.Stdin = []byte(c.Args)
	if s.Limits.Time == 0 || s.Limits.Time > helperTime {
		s.Limits.Time = helperTime
	}
	return s, nil
}

// reach gives the cell of a call the hosts that its decision grants. A tool that is not
// known to reach them is refused.
func (t tool) reach(s *sandbox.Spec, granted []string) error {
	declared, open := t.reaches()
	for _, h := range granted {
		rule, err := sandbox.ParseHostRule(h)
		if err != nil {
			return refused("network", h, "hosts of the form host:port")
		}
		if !open && !slices.ContainsFunc(declared, func(d string) bool {
			r, err := sandbox.ParseHostRule(d)
			return err == nil && r.Host == rule.Host && r.Port == rule.Port
		}) {
			return refused("network", h, "a tool that does not declare it")
		}
		s.Network.Allow = append(s.Network.Allow, rule)
	}
	s.Grants.Hosts = len(granted) > 0
	return nil
}

// profileOf translates a granted profile. What the sandbox does not know is refused.
func profileOf(p agent.Profile) (sandbox.Profile, error) {
	switch p {
	case agent.Strict:
		return sandbox.Strict, nil
	case agent.Standard:
		return sandbox.Standard, nil
	case agent.Reduced:
		return sandbox.Reduced, nil
	}
	return sandbox.Strict, refused("profile", p.String(), "strict, standard, reduced")
}

func refused(layer, need, have string) error {
	return &sandbox.Error{Op: "describe cell", Err: &sandbox.RefusedError{Layer: layer, Need: need, Have: have}}
}
