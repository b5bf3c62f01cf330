package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// systemPolicies is where the machine's owner keeps rules that nobody below can loosen.
const systemPolicies = "/etc/holdfast/policy.d"

// policyFile is where a workspace keeps its own rules, which may only ask and deny.
const policyFile = ".holdfast/policy.yaml"

// maxPolicy bounds one policy file in bytes.
const maxPolicy = 1 << 20

func policyFlag() cli.Flag {
	return newListFlag("policy", "written rules in `FILE`, beside those of the machine, the user and the workspace", "HOLDFAST_POLICY")
}

// policyPlaces says where written rules are read from. An empty place holds none.
type policyPlaces struct {
	system    string   // a folder
	user      string   // a file that need not exist
	given     []string // files that must exist
	workspace string   // the folder of the workspace
}

// placesOf are the places that count for a command on a workspace, "" for none.
func placesOf(c *cli.Context, workspace string) policyPlaces {
	return policyPlaces{system: systemPolicies, user: inConfigDir("policy.yaml"), given: c.StringSlice("policy"), workspace: workspace}
}

// configDir is where a user keeps settings, by the XDG base directory rules.
func configDir() string {
	if d := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "holdfast")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".config", "holdfast")
}

// inConfigDir is a file among the user's settings, "" where there is no place for them.
func inConfigDir(name string) string {
	dir := configDir()
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// sources reads every policy file. What is there and cannot be read is an error: a rule
// that is missing would be a question not asked.
func (p policyPlaces) sources() ([]policy.Source, error) {
	var out []policy.Source
	add := func(l policy.Layer, name string, open func() (*os.File, error)) error {
		text, err := readPolicy(open)
		if err != nil {
			return &failure{exitUsage, fmt.Errorf("read policy: %w", err), mend(name, err)}
		}
		out = append(out, policy.Source{Layer: l, Name: name, Text: text})
		return nil
	}
	file := func(l policy.Layer, name string, need bool) error {
		if _, err := os.Lstat(name); name == "" || !need && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if p.workspace != "" { // what tools can write speaks for the workspace alone
			if in, err := within(name, p.workspace); err != nil {
				return &failure{exitUsage, fmt.Errorf("read policy: %w", err), mend(name, err)}
			} else if in {
				l = policy.Workspace
			}
		}
		return add(l, name, func() (*os.File, error) { return os.OpenFile(name, openToRead, 0) })
	}
	system, err := policiesIn(p.system)
	if err != nil {
		return nil, err
	}
	for _, name := range system {
		if err := file(policy.System, name, true); err != nil {
			return nil, err
		}
	}
	if err := file(policy.User, p.user, false); err != nil {
		return nil, err
	}
	for _, name := range p.given {
		if err := file(policy.User, name, true); err != nil {
			return nil, err
		}
	}
	if p.workspace == "" {
		return out, nil
	}
	root, err := os.OpenRoot(p.workspace) // no link in the workspace leads out of it
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("open workspace: %w", err), "give a readable folder with -C DIR"}
	}
	defer root.Close()
	if _, err := root.Lstat(policyFile); errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	return out, add(policy.Workspace, policyFile, func() (*os.File, error) { return root.OpenFile(policyFile, openToRead, 0) })
}

// mend says what can be done about a policy file that could not be read.
func mend(name string, err error) string {
	if errors.Is(err, os.ErrNotExist) {
		return "name a file of rules that is there; docs/policy.md says what it holds"
	}
	return "mend or remove " + name
}

// policiesIn lists the policy files of a folder, sorted. A folder that does not exist
// holds none; one that cannot be read is an error.
func policiesIn(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(dir); err == nil && info.Mode().Perm()&0o002 != 0 {
			err = fmt.Errorf("%s can be written by everybody", dir)
		}
	}
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("read policy: %w", err), "mend the rights of " + dir}
	}
	var out []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// readPolicy reads one policy file.
func readPolicy(open func() (*os.File, error)) (string, error) { return readRegular(maxPolicy, open) }

// readRegular reads one regular file of at most most bytes that not everybody can write.
func readRegular(most int64, open func() (*os.File, error)) (string, error) {
	f, err := open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", f.Name())
	case info.Mode().Perm()&0o002 != 0:
		return "", fmt.Errorf("%s can be written by everybody", f.Name())
	case info.Size() > most:
		return "", fmt.Errorf("%s has %d bytes, at most %d", f.Name(), info.Size(), most)
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	return string(b), err
}

// loadPolicies reads and checks all rules in force.
func loadPolicies(p policyPlaces) (*policy.Set, error) {
	src, err := p.sources()
	if err != nil {
		return nil, err
	}
	set, err := policy.Load(src...)
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("load policy: %w", err), cmp.Or(demoted(src), "see holdfast policy check")}
	}
	return set, nil
}

// demoted says of files that were given by name, but lie where tools can write, that they
// speak for the workspace alone; "" if there are none.
func demoted(src []policy.Source) string {
	for _, s := range src {
		if s.Layer == policy.Workspace && s.Name != policyFile {
			return s.Name + " lies in the workspace, where tools can write it, so that it may only ask and deny: keep it elsewhere"
		}
	}
	return ""
}

// runPolicies are the rules of a run on the workspace that the flags name.
func runPolicies(c *cli.Context) (*policy.Set, error) {
	dir, err := workspaceOf(c)
	if err != nil {
		return nil, err
	}
	return loadPolicies(placesOf(c, dir))
}

// sameRules refuses to go on with a run under other rules than those it began with: its
// record could not be explained.
func (k *crew) sameRules(past []agent.Event) error {
	for _, e := range past {
		b, ok := e.Body.(*agent.RunStart)
		if !ok || b.Policy == nil {
			continue
		}
		if b.Policy.Data == nil {
			return &failure{exitDigest, errors.New("resume: the written rules that the run began with were erased from its record"),
				"begin a new run from it with holdfast fork"}
		}
		if set, err := policy.Restore(b.Policy.Data); err != nil || set.Digest() != k.rules.Digest() {
			return &failure{exitDigest, errors.New("resume: the written rules are not those the run began with"),
				"bring them back, or begin a new run from it with holdfast fork"}
		}
	}
	return nil
}

// openToRead opens a file and does not wait for a writer where it is a pipe.
const openToRead = os.O_RDONLY | syscall.O_NONBLOCK

// maxBefore bounds what is read of a file to show how it would change.
const maxBefore = 1 << 20

// before reads what a file of the workspace holds now.
func (w *workplace) before(path string) (string, bool) {
	f, err := w.root.OpenFile(path, openToRead, 0)
	if err != nil {
		return "", errors.Is(err, os.ErrNotExist)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxBefore {
		return "", false
	}
	b, err := io.ReadAll(io.LimitReader(f, maxBefore))
	return string(b), err == nil
}

// reviewModes are the values of --review, the usual one first.
var reviewModes = []string{"reason", "logits", "masked"}

func reviewFlag() cli.Flag {
	return &cli.StringFlag{Name: "review", Value: reviewModes[0], EnvVars: []string{"HOLDFAST_REVIEW"},
		Usage: "how the model reviews calls, as `MODE`: reason (a sentence, then the label), logits (the label alone), " +
			"masked (reason, and effects after untrusted text once more with the task hidden)"}
}

func guardFlag() cli.Flag {
	return &cli.StringFlag{Name: "guard", EnvVars: []string{"HOLDFAST_GUARD"},
		Usage: "another `MODEL`, a GGUF file or a name in the store, that judges in the agent's place"}
}

func checkReview(mode string) error {
	if mode != "" && !slices.Contains(reviewModes, mode) {
		return usage(fmt.Errorf("--review %q is not one of %s", mode, strings.Join(reviewModes, ", ")))
	}
	return nil
}
