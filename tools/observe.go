package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// command turns the end of a shell command into an observation: what it wrote to
// stdout, then to stderr, "(no output)" if nothing, then a line for a limit that
// stopped it or for an exit status that is not 0.
func command(res sandbox.Result) agent.Observation {
	out := strings.TrimRight(string(res.Stdout.Bytes()), "\n")
	errs := strings.TrimRight(string(res.Stderr.Bytes()), "\n")
	if out != "" && errs != "" {
		out += "\n"
	}
	text := "(no output)"
	if out+errs != "" {
		text = Show(out + errs)
	}
	o := agent.Observation{Status: status(res.Exit == 0), Exit: res.Exit}
	if line, ok := limited(&o, res); ok {
		text += "\n" + line
	} else if res.Exit != 0 {
		text += fmt.Sprintf("\nexit status %d", res.Exit)
	}
	if line, ok := uncommitted(&o, res); ok {
		text += "\n" + line
	}
	o.Text = text
	return o
}

// helper turns the end of the helper into an observation. An exit status that the
// helper does not use by itself is an error: the tool cannot be relied on.
func helper(res sandbox.Result) (agent.Observation, error) {
	o := agent.Observation{Exit: res.Exit}
	if line, ok := limited(&o, res); ok {
		o.Text = line
		return o, nil
	}
	if res.Exit != 0 && res.Exit != 1 {
		return o, fmt.Errorf("run file tool: exit status %d: %s", res.Exit,
			clip(Show(string(res.Stderr.Bytes())), 200))
	}
	o.Status = status(res.Exit == 0)
	o.Text = Show(string(res.Stdout.Bytes()))
	if line, ok := uncommitted(&o, res); ok {
		o.Text = line // a file tool makes one change
	}
	return o, nil
}

// The line and code for each limit of a cell.
var limits = map[sandbox.LimitKind]struct{ code, text string }{
	sandbox.LimitTime:      {"limit_time", "error: stopped at the time limit"},
	sandbox.LimitMemory:    {"limit_memory", "error: stopped at the memory limit"},
	sandbox.LimitFileSize:  {"limit_filesize", "error: stopped at the file size limit"},
	sandbox.LimitDenials:   {"limit_denials", "error: stopped after too many denied system calls"},
	sandbox.LimitCancelled: {"cancelled", "error: stopped"},
}

// limited marks an observation of a cell that a limit ended and returns the line
// that says so.
func limited(o *agent.Observation, res sandbox.Result) (line string, ok bool) {
	if res.Limit == sandbox.LimitNone {
		return "", false
	}
	l, known := limits[res.Limit]
	if !known {
		l = limits[sandbox.LimitCancelled]
		l.code = "limit_" + res.Limit.String()
	}
	o.Code, o.Status = l.code, agent.CallKilled
	if res.Limit == sandbox.LimitTime {
		o.Status = agent.CallTimeout
	}
	return l.text, true
}

// uncommitted marks an observation of a call whose changes to the workspace
// were not all made and returns the line that says so.
func uncommitted(o *agent.Observation, res sandbox.Result) (line string, ok bool) {
	switch {
	case res.Commit == sandbox.CommitConflict:
		o.Code, line = "conflict", "error: somebody else changed the same files meanwhile, so nothing was changed; read them again"
	case res.Commit == sandbox.CommitFailed:
		o.Code, line = "commit", "error: the changes could not be made, so nothing was changed"
	case res.Limit == sandbox.LimitNone && res.Held() > 0:
		o.Code, line = "held", "error: a person has to make some of these changes; they were left out"
	default:
		return "", false
	}
	o.Status = agent.CallError
	return line, true
}

// maxChanges bounds how many changes of one call the ledger lists.
const maxChanges = 1000

// listed are the changes that the ledger lists of all there are: where they are too many,
// what was there before comes before what is new, so that no tool can hide what it replaced
// behind files that it made. The digest is of the whole list, as JSON.
func listed(all []sandbox.Change) (list []sandbox.Change, total int, digest string) {
	if len(all) <= maxChanges {
		return all, 0, ""
	}
	d := sha256.Sum256(agent.JSON(all).Data)
	list = slices.Clone(all)
	made := func(c sandbox.Change) int {
		if c.Op == "create" {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b sandbox.Change) int { return made(a) - made(b) })
	return list[:maxChanges], len(all), hex.EncodeToString(d[:])
}

// account is what the ledger keeps of a cell's end.
func account(res sandbox.Result) *agent.Blob {
	type stream struct {
		Bytes   int64 `json:"bytes"`
		Omitted int64 `json:"omitted"`
	}
	changes, total, digest := listed(res.Changes)
	return agent.JSON(struct {
		Exit     int               `json:"exit"`
		Signal   int               `json:"signal,omitempty"`
		Limit    string            `json:"limit,omitempty"`
		Stdout   stream            `json:"stdout"`
		Stderr   stream            `json:"stderr"`
		Usage    sandbox.Usage     `json:"usage"`
		Limits   sandbox.Limits    `json:"limits"`
		Timings  sandbox.Timings   `json:"timings_ns"`
		Commit   string            `json:"commit,omitempty"`
		CommitID string            `json:"commit_id,omitempty"`
		Why      string            `json:"why,omitempty"`
		Changes  []sandbox.Change  `json:"changes,omitempty"`
		Total    int               `json:"changes_total,omitempty"`  // where not all are listed
		Digest   string            `json:"changes_sha256,omitempty"` // of the whole list, then
		Denials  []sandbox.Denial  `json:"denials,omitempty"`
		Conns    []sandbox.NetConn `json:"conns,omitempty"`
		Dropped  int               `json:"conns_dropped,omitempty"`
		Plan     string            `json:"plan"`
		Attested string            `json:"attested"`
	}{
		res.Exit, res.Signal, strings.TrimPrefix(res.Limit.String(), "none"),
		stream{res.Stdout.Total, max(0, res.Stdout.Omitted())},
		stream{res.Stderr.Total, max(0, res.Stderr.Omitted())},
		res.Usage, res.Limits, res.Timings,
		strings.TrimPrefix(res.Commit.String(), "none"), res.CommitID, res.Why, changes, total, digest, res.Denials,
		res.Conns, res.ConnsDropped,
		hex.EncodeToString(res.Plan[:]), hex.EncodeToString(res.Attested[:]),
	})
}
