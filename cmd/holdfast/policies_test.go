package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
)

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	askMail    = "version: 1\nrules:\n  - {id: mail, tools: [send_mail], outcome: ask, reason: look}\n"
	answerMail = "version: 1\nrules:\n  - {id: mail, tools: [send_mail], outcome: allow, reason: ours, answers: [user-did-not-name-target]}\n"
)

// TestPolicyLayers reads rules from every place: what the system asks is asked whatever
// the user's file answers, and what cannot be read stops everything.
func TestPolicyLayers(t *testing.T) {
	dir := t.TempDir()
	at := policyPlaces{system: filepath.Join(dir, "etc"), user: filepath.Join(dir, "user.yaml"), workspace: filepath.Join(dir, "ws")}
	if err := os.Mkdir(at.workspace, 0o700); err != nil {
		t.Fatal(err)
	}
	mail := policy.Facts{Tool: "send_mail", Args: "{}", Prompt: agent.Benign, Taint: agent.TaintClean}
	eval := func() policy.Result {
		t.Helper()
		set, err := loadPolicies(at)
		if err != nil {
			t.Fatal(err)
		}
		return set.Eval(mail)
	}
	if r := eval(); len(r.Fired) != 0 {
		t.Errorf("with no files %+v fired", r.Fired)
	}
	put(t, at.user, answerMail)
	if r := eval(); r.Outcome != agent.Allow || r.Answers != policy.Unnamed {
		t.Errorf("the user's file gives %+v", r)
	}
	put(t, filepath.Join(at.system, "10.yaml"), askMail)
	put(t, filepath.Join(at.system, "README"), "not a policy")
	if r := eval(); r.Outcome != agent.Ask || r.Fired[0].Rule.Name() != "system/mail" {
		t.Errorf("the system's file gives %+v", r)
	}
	at.given = []string{put(t, filepath.Join(dir, "given.yaml"), strings.Replace(askMail, "ask", "deny", 1))}
	if _, err := loadPolicies(at); err == nil || !strings.Contains(err.Error(), "the id is taken") {
		t.Errorf("one id in two files of a layer: %v", err)
	}
	at.given = nil
	put(t, filepath.Join(at.workspace, policyFile), strings.Replace(askMail, "ask", "deny", 1))
	if r := eval(); r.Outcome != agent.Deny {
		t.Errorf("the workspace's file gives %+v", r)
	}

	for _, s := range []struct {
		name  string
		spoil func()
	}{
		{"LinkOutOfTheWorkspace", func() {
			path := filepath.Join(at.workspace, policyFile)
			os.Remove(path)
			if err := os.Symlink(at.user, path); err != nil {
				t.Fatal(err)
			}
		}},
		{"FolderForEverybody", func() {
			os.RemoveAll(filepath.Join(at.workspace, ".holdfast"))
			os.Chmod(at.system, 0o777)
		}},
		{"FolderInPlaceOfAFile", func() {
			os.Chmod(at.system, 0o700)
			os.MkdirAll(filepath.Join(at.system, "20.yaml"), 0o700)
		}},
		{"DanglingLink", func() {
			os.RemoveAll(filepath.Join(at.system, "20.yaml"))
			os.Symlink("nowhere", filepath.Join(at.system, "30.yaml"))
		}},
		{"MissingGivenFile", func() {
			os.Remove(filepath.Join(at.system, "30.yaml"))
			at.given = []string{filepath.Join(dir, "none.yaml")}
		}},
	} {
		s.spoil()
		if _, err := loadPolicies(at); err == nil {
			t.Errorf("%s was passed over", s.name)
		}
	}
}

// TestPolicyInTheWorkspace wants a file that tools can write to speak for the workspace
// alone, wherever it was named: it may ask and deny, and answers nothing.
func TestPolicyInTheWorkspace(t *testing.T) {
	dir := t.TempDir()
	ws := filepath.Join(dir, "ws")
	inside := put(t, filepath.Join(ws, "rules", "mine.yaml"), askMail)
	link := filepath.Join(dir, "link.yaml")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]policyPlaces{
		"Given":        {given: []string{inside}, workspace: ws},
		"OfTheUser":    {user: inside, workspace: ws},
		"ThroughALink": {given: []string{link}, workspace: ws},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, inside, askMail)
			set, err := loadPolicies(at)
			if err != nil {
				t.Fatal(err)
			}
			if r := set.Eval(policy.Facts{Tool: "send_mail", Args: "{}", Prompt: agent.Benign, Taint: agent.TaintClean}); len(r.Fired) != 1 || r.Fired[0].Rule.Layer != policy.Workspace {
				t.Errorf("%+v", r.Fired)
			}
			put(t, inside, answerMail)
			if _, err := loadPolicies(at); err == nil || !strings.Contains(err.Error(), "may only ask or deny") {
				t.Errorf("a rule that answers: %v", err)
			}
		})
	}
	put(t, inside, askMail)
	if set, err := loadPolicies(policyPlaces{given: []string{inside}, workspace: dir + "/../" + filepath.Base(dir) + "/ws/rules/.."}); err != nil || set.Rules()[len(set.Rules())-1].Layer != policy.Workspace {
		t.Errorf("another spelling of the workspace: %v", err)
	}
}

// TestErasedRulesAreNotTheSame goes on with no run whose written rules were erased from its
// record: nothing says that they are those in force.
func TestErasedRulesAreNotTheSame(t *testing.T) {
	rules, err := loadPolicies(policyPlaces{})
	if err != nil {
		t.Fatal(err)
	}
	k := &crew{site: &site{workplace: &workplace{rules: rules}}}
	begun := func(b *agent.Blob) []agent.Event { return []agent.Event{{Body: &agent.RunStart{Policy: b}}} }
	if err := k.sameRules(begun(&agent.Blob{Data: rules.Record()})); err != nil {
		t.Errorf("the same: %v", err)
	}
	if err := k.sameRules(begun(&agent.Blob{})); err == nil || !strings.Contains(err.Error(), "erased") {
		t.Errorf("erased: %v", err)
	}
}
