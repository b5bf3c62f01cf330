package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/tools"
)

func policyExplainCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "say why a call was decided as it was, or how one would be", ArgsUsage: "[RUN[@EVENT]]",
		Description: "Decides every recorded verdict of a run again, from the ledger alone, and names each rule that\n" +
			"voted; the newest run if none is given. With --tool it explains a call that is not on record.\n\n" +
			"Examples:\n  holdfast policy explain\n  holdfast policy explain 0192f3@17\n" +
			"  holdfast policy explain --tool write_file --args '{\"path\":\"a.txt\",\"content\":\"x\"}' --request 'write x to a.txt'",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags: []cli.Flag{ledgerFlag(), dirFlag(), policyFlag(), toolsFlag(), jsonFlag(),
			&cli.StringFlag{Name: "tool", Usage: "the `NAME` of a tool"},
			&cli.StringFlag{Name: "args", Usage: "its arguments, a `JSON` object", Value: "{}"},
			&cli.StringFlag{Name: "request", Usage: "what the user asked, as `TEXT`"}},
		Action: func(c *cli.Context) error { return policyExplain(c, t) },
	}
}

// recalled reads the verdicts of a run from the ledger, of the newest for "".
func recalled(c *cli.Context, l *ledger.Ledger, run string) (string, []*safety.Recorded, error) {
	id, err := findRun(c, l, run)
	if err != nil {
		return "", nil, err
	}
	out, err := safety.Recall(l.Events(c.Context, id))
	if err != nil {
		return "", nil, ledgerFailure(fmt.Errorf("explain run %s: %w", id, err))
	}
	return id, out, nil
}

func policyExplain(c *cli.Context, t *terminal) error {
	if c.IsSet("tool") {
		if c.Args().Present() {
			return usage(errors.New("name a run, or a call by --tool"))
		}
		return explainCall(c, t)
	}
	if err := goesWith(c, "tool", "args", "request", "policy", "tools", "dir"); err != nil {
		return err
	}
	run, at, found := strings.Cut(c.Args().First(), "@")
	seq := int64(0)
	if found {
		var err error
		if seq, err = strconv.ParseInt(at, 10, 64); err != nil || seq <= 0 {
			return usage(fmt.Errorf("%q is not the number of an event", at))
		}
	}
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	id, verdicts, err := recalled(c, l, run)
	if err != nil {
		return err
	}
	if seq > 0 {
		verdicts = slices.DeleteFunc(verdicts, func(r *safety.Recorded) bool { return r.Seq != seq })
		if len(verdicts) == 0 {
			return usage(fmt.Errorf("event %d of run %s is not a verdict", seq, id))
		}
	}
	wrong := 0
	for _, r := range verdicts {
		e := r.Explain(formOf(r))
		if !e.Reproduced() {
			wrong++
		}
		if c.Bool("json") {
			line, err := json.Marshal(explained{id, r.Seq, r.On, r.Call.Tool, e.Outcome, e.Votes, e.Code, e.Input, e.Inferred, e.Reproduced(), e.Disagrees})
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s\n", line)
			continue
		}
		fmt.Fprint(t.out, explanation(r, e))
	}
	if !c.Bool("json") {
		fmt.Fprintf(t.out, "%s of run %s, %d reproduced\n", count(len(verdicts), "verdict"), id, len(verdicts)-wrong)
	}
	if wrong > 0 {
		return silent{exitLedger}
	}
	return nil
}

// formOf checks the form of a recorded call again, nil where that cannot be done: what the
// declaration of a tool of the user's own lets through, its program's command line may still
// refuse, and that is not on record.
func formOf(r *safety.Recorded) safety.Checker {
	built := slices.ContainsFunc(tools.Builtin(), func(s agent.ToolSpec) bool { return s.Digest() == r.Spec.Digest() })
	if !built && tools.CheckSpec(r.Spec, r.Call) == nil {
		return nil
	}
	return tools.CheckSpec
}

// explained is one line of policy explain --json.
type explained struct {
	Run        string         `json:"run"`
	Seq        int64          `json:"seq"`
	On         safety.Subject `json:"on"`
	Tool       string         `json:"tool,omitempty"`
	Outcome    agent.Outcome  `json:"outcome"`
	Votes      []agent.Vote   `json:"votes"`
	Code       string         `json:"code,omitempty"`
	Input      *safety.Input  `json:"input,omitempty"`
	Inferred   bool           `json:"inferred,omitempty"`
	Reproduced bool           `json:"reproduced"`
	Disagrees  []string       `json:"disagrees,omitempty"`
}

// explanation renders one verdict decided again.
func explanation(r *safety.Recorded, e safety.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%4d  %s", r.Seq, r.On)
	if r.On == safety.OnCall {
		fmt.Fprintf(&b, " %s %s", inertLine(r.Call.Tool, 40), inertLine(r.Call.Args, lineWidth))
	}
	b.WriteString("\n")
	votes(&b, e.Votes)
	if in := e.Input; in != nil {
		fmt.Fprintf(&b, "      input    request %s%s, context %s, effect %s, aimed by %s, review %s\n", in.Prompt,
			words(in.Confirmed, " and confirmed"), in.Taint, in.Effect, in.Sinks, in.Review)
	}
	if e.Inferred {
		b.WriteString("      note     the input was not recorded; it follows from the recorded votes\n")
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "      note     %s\n", n)
	}
	fmt.Fprintf(&b, "      verdict  %s%s\n", e.Outcome, words(e.Code != "", " ("+e.Code+")"))
	if r.Answer != nil {
		fmt.Fprintf(&b, "      answer   %s by %s (%s)\n", r.Answer.Choice, inertLine(r.Answer.Who, 40), inertLine(r.Answer.Via, 40))
	}
	if e.FinalKnown {
		fmt.Fprintf(&b, "      decision %s\n", e.Final)
	}
	if e.Reproduced() {
		b.WriteString("      reproduced from the record\n")
	}
	for _, d := range e.Disagrees {
		fmt.Fprintf(&b, "      NOT AS RECORDED  %s\n", inertLine(d, 600))
	}
	return b.String()
}

func words(on bool, s string) string {
	if on {
		return s
	}
	return ""
}

func votes(b *strings.Builder, list []agent.Vote) {
	for _, v := range list {
		fmt.Fprintf(b, "      %-8s %s: %s\n", v.Outcome, inertLine(v.Rule, 80), inertLine(v.Reason, 400))
	}
}

// explainCall explains a call that is not on record, on the workspace as it is.
func explainCall(c *cli.Context, t *terminal) error {
	if c.String("request") == "" {
		return usage(errors.New("a call is judged by what the user asked; give it with --request TEXT"))
	}
	dir, err := workspaceOf(c)
	if err != nil {
		return err
	}
	set, err := loadPolicies(placesOf(c, dir))
	if err != nil {
		return err
	}
	call := agent.ToolCall{ID: "asked", Tool: c.String("tool"), Args: c.String("args")}
	on, _, err := declaredTools(c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(on, func(s agent.ToolSpec) bool { return s.Name == call.Tool })
	if i < 0 {
		return usage(fmt.Errorf("no tool is called %q", call.Tool))
	}
	if err := tools.CheckSpec(on[i], call); err != nil {
		return usage(err)
	}
	v, err := safety.Try(policy.Case{Request: c.String("request"), Label: agent.Benign, Call: call, Authorised: []string{call.Tool},
		Exists: present(dir, call)}, on, set)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		line, err := json.Marshal(explained{Tool: call.Tool, On: safety.OnCall, Outcome: v.Outcome, Votes: v.Votes, Code: v.Code})
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s\n", line)
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "call %s %s\n", inertLine(call.Tool, 40), inertLine(call.Args, lineWidth))
	votes(&b, v.Votes)
	for _, s := range v.Sinks {
		fmt.Fprintf(&b, "      from     %s %s: %s\n", inertLine(s.Arg, 80), inertLine(s.Value, lineWidth), origin(s.Origin))
	}
	fmt.Fprintf(&b, "      verdict  %s%s, if the request covers the tool and the review finds nothing\n", v.Outcome, words(v.Code != "", " ("+v.Code+")"))
	fmt.Fprint(t.out, b.String())
	return nil
}

// present lists which values of a call's arguments name something in the workspace.
func present(dir string, call agent.ToolCall) []string {
	var args map[string]any
	if json.Unmarshal([]byte(call.Args), &args) != nil {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	var out []string
	for _, v := range args {
		s, _ := v.(string)
		for _, p := range append(strings.Fields(s), s) {
			if _, err := root.Lstat(p); p != "" && !errors.Is(err, os.ErrNotExist) {
				out = append(out, p)
			}
		}
	}
	return out
}
