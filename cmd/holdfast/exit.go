package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/models"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/sandbox"
)

// The exit codes. This is the only place that knows them.
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2
	exitSuspended   = 3
	exitRefused     = 4
	exitUnverified  = 5
	exitLimit       = 6
	exitLoop        = 7
	exitModel       = 10
	exitContext     = 12
	exitSandbox     = 20
	exitLedger      = 21
	exitDigest      = 22
	exitInterrupted = 130
)

var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitInternal, "internal error"},
	{exitUsage, "usage or configuration"},
	{exitSuspended, "suspended: something needs approval; answer it and resume"},
	{exitRefused, "the request was refused, or the run ended by denials"},
	{exitUnverified, "done, but the command of --verify failed, or could not tell"},
	{exitLimit, "a limit was hit"},
	{exitLoop, "loop detected"},
	{exitModel, "model missing, unreadable or does not fit"},
	{exitContext, "context would overflow"},
	{exitSandbox, "sandbox cannot be built as asked"},
	{exitLedger, "ledger cannot be written or verified"},
	{exitDigest, "a digest does not match"},
	{exitInterrupted, "interrupted (143: terminated)"},
}

// exitTable renders the codes for help texts; with codes given, only those.
func exitTable(codes ...int) string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, m := range exitMeanings {
		if len(codes) == 0 || slices.Contains(codes, m.code) {
			fmt.Fprintf(&b, "  %3d  %s\n", m.code, m.meaning)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// helpWithExits is the help of a command, ending with its exit codes. Every command can be
// used wrongly.
func helpWithExits(codes ...int) string {
	return cli.CommandHelpTemplate + "\n" + exitTable(append(codes, exitUsage)...) + "\n"
}

// failure is an error with its exit code and what the operator can do.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// silent is an ending that has already been told to the user.
type silent struct{ code int }

func (s silent) Error() string { return fmt.Sprintf("exit %d", s.code) }

// usageHint stands until the command is known; see named.
const usageHint = "see holdfast --help"

func usage(err error) error { return &failure{exitUsage, err, usageHint} }

func modelFailure(err error) error {
	f := &failure{exitModel, err, "give a GGUF file with -m FILE, or -m reference for the embedded model"}
	if errors.Is(err, models.ErrDigest) {
		f.code, f.hint = exitDigest, "get the file again from where the digest comes from, or correct the digest"
	}
	if errors.Is(err, models.ErrName) {
		f.code = exitUsage
	}
	if h := modelHint(err); h != "" {
		f.hint = h
	}
	return f
}

// modelHint is what the packages of models say can be done.
func modelHint(err error) string {
	var file *models.Error
	var server *remote.Error
	switch {
	case errors.As(err, &file):
		return file.Hint
	case errors.As(err, &server):
		return server.Hint
	}
	return ""
}

func ledgerFailure(err error) error {
	f := &failure{exitLedger, err, ""}
	if l, ok := errors.AsType[*ledger.Error](err); ok {
		f.hint = l.Hint
	}
	return f
}

// exitCode maps an error to its code.
func exitCode(err error) int {
	var f *failure
	var s silent
	switch {
	case errors.As(err, &s):
		return s.code
	case errors.Is(err, context.Canceled): // whatever it was that was interrupted
		return exitInterrupted
	case errors.Is(err, loop.ErrRecord):
		return exitLedger
	case errors.As(err, &f):
		return f.code
	case errors.As(err, new(*sandbox.Error)):
		return exitSandbox
	case errors.Is(err, agent.ErrContext):
		return exitContext
	case errors.As(err, new(*remote.Error)):
		return exitModel
	}
	return exitInternal
}

// hint returns what the operator can do about an error, "" if nothing is known.
func hint(err error) string {
	var f *failure
	var s *sandbox.Error
	var l *ledger.Error
	switch {
	case errors.As(err, &s) && s.Hint != "":
		return s.Hint
	case errors.As(err, &f):
		return f.hint
	case errors.As(err, &l) && l.Hint != "":
		return l.Hint
	case errors.Is(err, agent.ErrContext):
		return "shorten the request or the data beside it, or give more room: --ctx, or a model with a longer context"
	}
	return modelHint(err)
}

// statusCode maps how a run ended to its exit code.
func statusCode(s agent.Status) int {
	switch s {
	case agent.StatusDone:
		return exitDone
	case agent.StatusRefused, agent.StatusDenied:
		return exitRefused
	case agent.StatusSuspended:
		return exitSuspended
	case agent.StatusLimit:
		return exitLimit
	case agent.StatusLoop:
		return exitLoop
	case agent.StatusContext:
		return exitContext
	case agent.StatusStopped:
		return exitInterrupted
	}
	return exitInternal
}
