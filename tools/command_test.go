package tools_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// own is a file of one tool, its entry written with six blanks before each line.
func own(lines ...string) []byte {
	return []byte("version: 1\ntools:\n    - name: probe\n      description: Try it.\n      " + strings.Join(lines, "\n      ") + "\n")
}

// TestTextsForCurl lets values stand where curl takes them for nothing but a text, and files
// where the judge knows them to be paths.
func TestTextsForCurl(t *testing.T) {
	for _, run := range []string{`[curl, --data-raw, "{a}"]`, `[curl, --form-string, "x={a}"]`, `[curl, -F, "x=it is {a}"]`, `[curl, -H, "X-Note: {a}"]`,
		`[curl, -s, --data-urlencode, "x={a}"]`, `[cut, -d, "{a}"]`} {
		commands(t, own("run: "+run, "effect: read", "args: [{name: a}]"))
	}
	commands(t, own(`run: [curl, -F, "x=@{a}"]`, "effect: read", "args: [{name: a, role: path}]"))
	commands(t, own(`run: [curl, -d, "{a}"]`, "effect: read", "args: [{name: a, type: integer}]"))
}

func commands(t *testing.T, text []byte) []tools.Command {
	t.Helper()
	list, err := tools.ParseCommands(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParseCommands(t *testing.T) {
	c := commands(t, own(`run: [grep, "-e", "{word}", "--", "{path}", "{{word}}"]`, "effect: sensitive_read", "time: 5s", "trusted: true",
		"args:", "  - {name: path, role: path}", "  - {name: word, role: selector, enum: [a, b]}", "  - {name: n, type: integer, optional: true}",
		`stdin: "{n}"`))[0]
	if c.Argv[0] != "/usr/bin/grep" && c.Argv[0] != "/bin/grep" || c.Spec.Effect != agent.SensitiveRead || !c.Spec.Trusted || c.Time != 5*time.Second {
		t.Errorf("%+v", c)
	}
	if want := `{"type":"object","properties":{"path":{"type":"string","maxLength":1000},"word":{"type":"string","enum":["a","b"]},"n":{"type":"integer"}},"required":["path","word"],"additionalProperties":false}`; string(c.Spec.Schema) != want {
		t.Errorf("schema %s", c.Spec.Schema)
	}
	if c.Spec.Roles["path"] != agent.RolePath || c.Spec.Roles["n"] != "" {
		t.Errorf("roles %v", c.Spec.Roles)
	}
}

// TestParseCommandsRefuses lists what would make a tool do other things than it says.
func TestParseCommandsRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		text []byte
		want string
	}{
		"UnknownMember":        {own("run: [wc]", "effect: read", "network: true"), "unknown field"},
		"RepeatedMember":       {own("run: [wc]", "effect: read", "effect: pure"), "already defined"},
		"OtherVersion":         {[]byte("version: 2\ntools: [{name: a}]"), "version 2 is not known"},
		"NoTools":              {[]byte("version: 1"), "0 tools"},
		"Anchor":               {own("run: &a [wc]", "effect: read"), "anchors are not allowed"},
		"Alias":                {[]byte("version: 1\ntools: *a"), "aliases"},
		"TwoDocuments":         {[]byte("version: 1\n---\nversion: 1"), "exactly one document"},
		"BuiltInName":          {[]byte("version: 1\ntools: [{name: read_file, description: x, run: [wc], effect: read}]"), "of that name already"},
		"SameNameTwice":        {[]byte("version: 1\ntools: [{name: a, description: x, run: [wc], effect: read}, {name: a, description: x, run: [wc], effect: read}]"), "of that name already"},
		"OddName":              {[]byte("version: 1\ntools: [{name: A b, description: x, run: [wc], effect: read}]"), "small letters"},
		"NoEffect":             {own("run: [wc]"), `effect "" is not one of`},
		"Outward":              {own("run: [wc]", "effect: outward"), "can have no other"},
		"FileOfCurl":           {own(`run: [curl, -sd, "{a}"]`, "effect: read", "args: [{name: a}]"), "--data-raw"},
		"FileInAFormOfCurl":    {own(`run: [timeout, "5", /usr/bin/curl, -F, "x={a}"]`, "effect: read", "args: [{name: a}]"), "--form-string"},
		"FileInAHeaderOfCurl":  {own(`run: [curl, "-H{a}"]`, "effect: read", "args: [{name: a}]"), "name a file for curl"},
		"FileInEncodedData":    {own(`run: [curl, --data-urlencode, "x{a}"]`, "effect: read", "args: [{name: a}]"), "name a file for curl"},
		"UnknownRole":          {own(`run: [wc, "{a}"]`, "effect: read", "args: [{name: a, role: odd}]"), `role "odd"`},
		"UnknownType":          {own(`run: [wc, "{a}"]`, "effect: read", "args: [{name: a, type: list}]"), `type "list"`},
		"UnknownSlot":          {own(`run: [wc, "{a}"]`, "effect: read"), "{a} names no argument"},
		"UnusedArgument":       {own("run: [wc]", "effect: read", "args: [{name: a}]"), "used nowhere"},
		"ProgramOfAnArgument":  {own(`run: ["{a}"]`, "effect: read", "args: [{name: a}]"), "cannot come from an argument"},
		"NoProgram":            {own("effect: read"), "names no program"},
		"UnknownProgram":       {own("run: [no-such-program-here]", "effect: read"), "there is no program"},
		"ClimbingProgram":      {own("run: [./../x]", "effect: read"), "give a name"},
		"PartOfShellText":      {own(`run: [sh, -c, "cat {a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ShellTextWithoutRole": {own(`run: [/bin/bash, -lc, "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"PythonText":           {own(`run: [/usr/bin/python3, -c, "print({a})"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"AwkTextBehindOption":  {own(`run: [/usr/bin/awk, -F, "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"AwkProgram":           {own(`run: [/usr/bin/awk, "-v", "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ShellInput":           {own(`run: [/bin/sh]`, `stdin: "{a}"`, "effect: read", "args: [{name: a}]"), "program text"},
		"TextInAnOption":       {own(`run: [/usr/bin/perl, "-e{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"TextInALongOption":    {own(`run: [/usr/bin/node, "--eval={a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"TextBehindTwoDashes":  {own(`run: [/bin/bash, -c, "--", "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"TextBehindMoreFlags":  {own(`run: [/bin/bash, -c, "-x", "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"Module":               {own(`run: [/usr/bin/python3, "-m", "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ShellOfATimer":        {own(`run: [/usr/bin/timeout, "5", sh, -c, "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ShellOfAnEnvironment": {own(`run: [/usr/bin/env, "A=1", /bin/sh]`, `stdin: "{a}"`, "effect: read", "args: [{name: a}]"), "program text"},
		"ShellReadsItsInput":   {own(`run: [/bin/sh, "-s", x]`, `stdin: "{a}"`, "effect: read", "args: [{name: a}]"), "program text"},
		"PythonReadsItsInput":  {own(`run: [/usr/bin/python3, "-", x]`, `stdin: "{a}"`, "effect: read", "args: [{name: a}]"), "program text"},
		"LeftOutBehindAnOption": {own(`run: [/usr/bin/sort, "-T", "{a}", "--", "{b}"]`, "effect: write", "args: [{name: a, optional: true}, {name: b, role: path}]"),
			"-T would take what follows"},
		"AnnotationsAlone":     {own("run: [wc]", "annotations: {readOnlyHint: true}"), "what a server claims"},
		"AnnotationsOfNothing": {own("run: [wc]", "effect: annotations", "annotations: {}"), "what a server claims"},
		"NoAnnotations":        {own("run: [wc]", "effect: annotations"), `effect "annotations"`},
		"UnknownAnnotation":    {own("run: [wc]", "effect: annotations", "annotations: {safeHint: true}"), "safeHint"},
		"AnnotatedAsOutward":   {own("run: [wc]", "effect: annotations", "annotations: {readOnlyHint: true}"), "hosts"},
		"AddsNothing":          {own("run: [wc]", "effect: write", "adds: true"), "adds belongs to"},
		"LeftOutBeforeAnother": {own(`run: [/bin/cp, "{a}", "{b}"]`, "effect: write", "args: [{name: a, optional: true}, {name: b, role: path}]"), "in its place"},
		"SettingOfGit":         {own(`run: [/usr/bin/git, "-c", "{a}", log]`, "effect: read", "args: [{name: a}]"), "program text"},
		"EditorCommand":        {own(`run: [/usr/bin/vim, "+{a}", x]`, "effect: read", "args: [{name: a}]"), "program text"},
		"EditorOption":         {own(`run: [/usr/bin/vim, "-c", "{a}", x]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ProgramOfFind":        {own(`run: [/usr/bin/find, ., "-exec", "{a}", ";"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ProgramOfXargs":       {own(`run: [/usr/bin/xargs, "-I", "%", "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ProgramOfTar":         {own(`run: [/bin/tar, xf, x, "--to-command={a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ProgramOfTarApart":    {own(`run: [/bin/tar, xf, x, "--to-command", "{a}"]`, "effect: read", "args: [{name: a}]"), "program text"},
		"ProgramOfSort":        {own(`run: [/usr/bin/sort, "--compress-program={a}", x]`, "effect: read", "args: [{name: a}]"), "program text"},
		"AwkFile":              {own(`run: [/usr/bin/awk, "-f", "{a}", x]`, "effect: read", "args: [{name: a}]"), "program text"},
		"SedScript":            {own(`run: [/bin/sed, "{a}", x]`, "effect: read", "args: [{name: a}]"), "program text"},
		"Script":               {own(`run: [/bin/sh, "{a}"]`, "effect: read", "args: [{name: a, role: path}]"), "program text"},
		"Environment":          {own(`run: [/usr/bin/env, "A=1", "PAGER={a}", man, x]`, "effect: read", "args: [{name: a}]"), "program text"},
		"TrustedOwnProgram":    {own("run: [./x]", "effect: read", "trusted: true"), "lies in the workspace"},
		"TrustedOwnScript":     {own("run: [/usr/bin/python3, '-u', x.py]", "effect: read", "trusted: true"), "lies in the workspace"},
		"NoUTF8":               {own("run: [\"./\xff\"]", "effect: read"), "not UTF-8"},
		"PureOfTheWorkspace":   {own("run: [./x]", "effect: pure"), "has no workspace"},
		"UndoableRead":         {own("run: [wc]", "effect: read", "undoable: true"), "undoable belongs to effect write"},
		"LongTime":             {own("run: [wc]", "effect: read", "time: 2h"), "not between"},
		"HostsOfARead":         {own("run: [wc]", "effect: read", "hosts: [a.example:443]"), "declare outward"},
		"HostsOfATrusted":      {own("run: [wc]", "effect: outward", "trusted: true", "hosts: [a.example:443]"), "is not yours"},
		"HostWithoutAPort":     {own("run: [wc]", "effect: outward", "hosts: [a.example]"), "is not host:port"},
		"HostTwice":            {own("run: [wc]", "effect: outward", "hosts: [a.example:443, a.example:443]"), "stands twice"},
		"ManyHosts":            {own("run: [wc]", "effect: outward", "hosts: ["+strings.Repeat("a.example:443, ", 17)+"]"), "at most 16"},
		"Deep":                 {[]byte("version: 1\ntools: " + strings.Repeat("[", 5000)), "too many brackets"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tools.ParseCommands(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := tools.ParseCommands(own(`run: [/bin/sh, -c, "{a}"]`, "effect: write", "args: [{name: a, role: command}]")); err != nil {
		t.Errorf("a whole command line of role command: %v", err)
	}
	for _, run := range []string{`[/bin/sh, -c, "wc \"$1\"", sh, "{a}"]`, `[/usr/bin/python3, "tool.py", "{a}"]`, `[/usr/bin/awk, -f, count.awk, "{a}"]`,
		`[/bin/grep, "-e", "{a}", "x"]`, `[/bin/sed, "s/x/y/", "{a}"]`, `[/usr/bin/python3, "-u", tool.py, "{a}"]`, `[/usr/bin/find, ., "-name", "{a}"]`,
		`[/usr/bin/xargs, grep, "{a}"]`, `[/usr/bin/sort, "-t", "{a}", x]`, `[/usr/bin/timeout, "5", wc, "{a}"]`, `[/bin/ls, "-l", "{a}"]`, `[/usr/bin/tail, "-n", "+{a}", x]`} {
		if _, err := tools.ParseCommands(own("run: "+run, "effect: read", "args: [{name: a, optional: "+fmt.Sprint(strings.HasPrefix(run, "[/bin/ls"))+"}]")); err != nil {
			t.Errorf("%s: %v", run, err)
		}
	}
}

const programs = `version: 1
tools:
  - name: plain
    description: x
    effect: read
    run: [./try, "{a}", "n={n}", "{o}", "{{a}}"]
    args: [{name: a}, {name: n, type: number}, {name: o, type: boolean, optional: true}]
  - name: dashed
    description: x
    effect: write
    undoable: true
    run: [/bin/cat, "--", "{a}", "{a}b"]
    stdin: "<{a}>"
    time: 2s
    args: [{name: a}]
  - name: valued
    description: x
    effect: read
    run: [/usr/bin/sort, "-T", "--", "{a}"]
    args: [{name: a}]
`

// TestTrustedProgramOfTheWorkspace refuses one that is named by its whole path, or by a link.
func TestTrustedProgramOfTheWorkspace(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	in, link := filepath.Join(dir, "x"), filepath.Join(other, "x")
	if err := errors.Join(os.WriteFile(in, []byte("#!/bin/sh\n"), 0o755), os.Symlink(in, link)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{in, link} {
		list := commands(t, own(fmt.Sprintf("run: [%q]", p), "effect: read", "trusted: true"))
		if _, err := tools.New(tools.Config{Runner: &runner{}, Workspace: dir, Commands: list}); err == nil || !strings.Contains(err.Error(), "lies in the workspace") {
			t.Errorf("%s: %v", p, err)
		}
		if _, err := tools.New(tools.Config{Runner: &runner{}, Workspace: t.TempDir(), Commands: list}); err != nil {
			t.Errorf("%s, of another workspace: %v", p, err)
		}
	}
}

// TestAnnotationsOfAFile takes a server's claims only where the user makes them their word.
func TestAnnotationsOfAFile(t *testing.T) {
	for effect, want := range map[string]agent.Effect{"annotations": agent.Write, "sensitive_read": agent.SensitiveRead} {
		c := commands(t, own("run: [wc]", "effect: "+effect, "annotations: {destructiveHint: false, openWorldHint: false, idempotentHint: true}"))
		if c[0].Spec.Effect != want {
			t.Errorf("effect: %s gives %v, want %v", effect, c[0].Spec.Effect, want)
		}
	}
}

// TestDrifted compares declarations with those of a registry.
func TestDrifted(t *testing.T) {
	reg, err := tools.New(tools.Config{Runner: &runner{}, Workspace: t.TempDir(), Commands: commands(t, []byte(programs))})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range reg.Specs() {
		if reg.Drifted(s) {
			t.Errorf("%s drifted from itself", s.Name)
		}
		s.Effect = agent.Pure
		if s.Description += "!"; !reg.Drifted(s) {
			t.Errorf("%s with another effect did not drift", s.Name)
		}
	}
	if !reg.Drifted(agent.ToolSpec{Name: "none"}) {
		t.Error("a tool that is not there did not drift")
	}
}

// TestPinsOfSeveralProcesses accepts through views that were opened before either wrote.
func TestPinsOfSeveralProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pins.json")
	list := commands(t, []byte(programs))
	var wg sync.WaitGroup
	for i := range 8 {
		p, err := tools.OpenPins(file)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := p.AcceptCommands(fmt.Sprint("file", i), list...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := tools.OpenPins(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if d := p.CheckCommand(fmt.Sprint("file", i), list[0]); d != tools.DriftSame {
			t.Errorf("file%d is %v: another process wrote over it", i, d)
		}
	}
}

// TestCommandArguments checks what reaches the program, and what never does.
func TestCommandArguments(t *testing.T) {
	r := &runner{}
	reg, err := tools.New(tools.Config{Runner: r, Workspace: t.TempDir(), Commands: commands(t, []byte(programs))})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, tool, args string
		argv             []string
		stdin            string
	}{
		{"LeavesOutWhatWasNotGiven", "plain", `{"a":"x y; $(id)","n":1.50}`, []string{"/work/try", "x y; $(id)", "n=1.50", "{a}"}, ""},
		{"WritesNumbersAsTheyAre", "plain", `{"a":"","n":-1e3,"o":true}`, []string{"/work/try", "", "n=-1e3", "true", "{a}"}, ""},
		{"TakesNoDashWhereTwoMayBeAValue", "valued", `{"a":"-rf"}`, nil, ""},
		{"TakesADashBehindTwo", "dashed", `{"a":"-rf"}`, []string{"/bin/cat", "--", "-rf", "-rfb"}, "<-rf>"},
		{"PutsNoSlotIntoAnother", "dashed", `{"a":"{a}"}`, []string{"/bin/cat", "--", "{a}", "{a}b"}, "<{a}>"},
		{"RefusesADash", "plain", `{"a":"-rf","n":1}`, nil, ""},
		{"RefusesANUL", "plain", `{"a":"x\u0000y","n":1}`, nil, ""},
		{"RefusesAnotherType", "plain", `{"a":"x","n":"1"}`, nil, ""},
		{"RefusesMore", "plain", `{"a":"x","n":1,"b":1}`, nil, ""},
		{"RefusesNested", "dashed", `{"a":["x"]}`, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.specs = nil
			c := call(tt.tool, tt.args)
			o, err := reg.Execute(t.Context(), agenttest.Permit(1, c, agent.Grant{Write: true}), c, &journal{})
			if tt.argv == nil {
				if !errors.Is(err, agent.ErrArguments) || len(r.specs) != 0 || !errors.Is(reg.Check(c), agent.ErrArguments) {
					t.Errorf("%+v, %v", o, err)
				}
				return
			}
			if err != nil || len(r.specs) != 1 {
				t.Fatal(err)
			}
			s := r.specs[0]
			if strings.Join(s.Argv, "|") != strings.Join(tt.argv, "|") || string(s.Stdin) != tt.stdin || s.Helper != nil {
				t.Errorf("argv %q, input %q", s.Argv, s.Stdin)
			}
			if s.Grants.Write != (tt.tool == "dashed") || s.Profile != sandbox.Strict {
				t.Errorf("grants %+v: a tool that reads was given more", s.Grants)
			}
		})
	}
	t.Run("HasNoNetwork", func(t *testing.T) {
		c := call("dashed", `{"a":"x"}`)
		_, err := reg.Execute(t.Context(), agenttest.Permit(1, c, agent.Grant{Hosts: []string{"x.org"}}), c, &journal{})
		if err == nil {
			t.Error("a host was granted to a cell without network")
		}
	})
	t.Run("ReachesWhatItDeclares", func(t *testing.T) {
		list := commands(t, own("run: [/bin/cat]", "effect: outward", `hosts: [a.example:443, "b.example:80 private"]`))
		reg, err := tools.New(tools.Config{Runner: r, Workspace: t.TempDir(), Commands: list})
		if err != nil {
			t.Fatal(err)
		}
		if hosts, open := reg.Reaches(list[0].Spec); len(hosts) != 2 || open {
			t.Errorf("%q, %v", hosts, open)
		}
		plain := list[0]
		if plain.Hosts = nil; plain.Digest() == list[0].Digest() {
			t.Error("hosts are no part of what is accepted")
		}
		for _, s := range tools.Builtin() {
			if hosts, open := reg.Reaches(s); hosts != nil || open != (s.Name == tools.RunCommand) {
				t.Errorf("%s: %q, %v", s.Name, hosts, open)
			}
		}
		c := call("probe", `{}`)
		for hosts, want := range map[string]bool{"": true, "a.example:443": true, "b.example:80 private": true, "a.example:80": false, "c.example:443": false, "a.example": false} {
			r.specs = nil
			var g agent.Grant
			if hosts != "" {
				g.Hosts = []string{hosts}
			}
			if _, err := reg.Execute(t.Context(), agenttest.Permit(1, c, g), c, &journal{}); (err == nil) != want {
				t.Errorf("%q: %v", hosts, err)
			}
			if want && (len(r.specs) != 1 || len(r.specs[0].Network.Allow) != len(g.Hosts) || r.specs[0].Grants.Hosts != (hosts != "") || r.specs[0].Grants.Write) {
				t.Errorf("%q: %+v", hosts, r.specs)
			}
		}
	})
	t.Run("SaysWhatACallStarts", func(t *testing.T) {
		argv, in := reg.Runs(call("dashed", `{"a":"x y"}`))
		if strings.Join(argv, "|") != "/bin/cat|--|x y|x yb" || in != "<x y>" {
			t.Errorf("%q, %q", argv, in)
		}
		for _, c := range []agent.ToolCall{call("read_file", `{"path":"a"}`), call("dashed", `{}`), call("none", `{}`)} {
			if argv, in := reg.Runs(c); argv != nil || in != "" {
				t.Errorf("%s: %q, %q", c.Tool, argv, in)
			}
		}
	})
	t.Run("TellsWhatItTakesBack", func(t *testing.T) {
		for _, s := range reg.Specs() {
			if reg.Undoable(s) != (s.Name == "dashed") {
				t.Errorf("%s: %v", s.Name, reg.Undoable(s))
			}
			if s.Name == "dashed" {
				if s.Effect = agent.Pure; reg.Undoable(s) {
					t.Error("another declaration of the name passes")
				}
			}
		}
	})
	t.Run("RefusesTwoOfAName", func(t *testing.T) {
		list := commands(t, []byte(programs))
		if _, err := tools.New(tools.Config{Runner: r, Workspace: t.TempDir(), Commands: append(list, list[0])}); err == nil {
			t.Error("two tools of one name")
		}
		if _, err := tools.New(tools.Config{Runner: r, Workspace: t.TempDir(), Commands: []tools.Command{{Spec: agent.ToolSpec{Name: "x", Schema: []byte(`{}`)}}}}); err == nil {
			t.Error("a tool that runs nothing")
		}
	})
}

// TestCommandInRealCell runs an operator's tool where it has neither network nor the right
// to write.
func TestCommandInRealCell(t *testing.T) {
	dir := files(t)
	text := own(`run: [/bin/sh, -c, "cat \"$1\"; echo x > made; cat", sh, "{path}"]`, `stdin: "{text}"`, "effect: write",
		"args: [{name: path, role: path}, {name: text}]")
	reg, err := tools.New(tools.Config{Runner: open(t), Workspace: dir, Commands: commands(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, write := range []bool{false, true} {
		c := call("probe", `{"path":"server.conf","text":"$(id)"}`)
		o, err := reg.Execute(context.Background(), agenttest.Permit(1, c, agent.Grant{Write: write}), c, &journal{})
		_, made := os.Stat(filepath.Join(dir, "made"))
		if err != nil || !strings.Contains(o.Text, "port = 8080\n$(id)") || (made == nil) != write {
			t.Errorf("write %v: %+v, %v; made: %v", write, o, err, made)
		}
	}
	pure := commands(t, own("run: [/bin/cat, /work/server.conf, \"-\"]", `stdin: "{text}"`, "effect: pure", "args: [{name: text}]"))
	if reg, err = tools.New(tools.Config{Runner: open(t), Workspace: dir, Commands: pure}); err != nil {
		t.Fatal(err)
	}
	read := call("probe", `{"text":"two"}`)
	if o, err := reg.Execute(context.Background(), agenttest.Permit(1, read, agent.Grant{Write: true}), read, &journal{}); err != nil ||
		strings.Contains(o.Text, "8080") || !strings.Contains(o.Text, "two") || o.Exit != 1 {
		t.Errorf("a tool that only computes read the workspace: %+v, %v", o, err)
	}
	gone := commands(t, own("run: [/usr/bin/no-such-program]", "effect: read"))
	if reg, err = tools.New(tools.Config{Runner: open(t), Workspace: dir, Commands: gone}); err != nil {
		t.Fatal(err)
	}
	c := call("probe", `{}`)
	if o, err := reg.Execute(context.Background(), agenttest.Permit(1, c, agent.Grant{}), c, &journal{}); err != nil || o.Code != "exec" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestCommandPins wants every part of a declaration to be pinned.
func TestCommandPins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pins.json")
	pins, err := tools.OpenPins(path)
	if err != nil {
		t.Fatal(err)
	}
	list := commands(t, []byte(programs))
	if d := pins.CheckCommand("f", list[1]); d != tools.DriftNew {
		t.Errorf("before: %v", d)
	}
	if err := pins.AcceptCommands("f", list...); err != nil {
		t.Fatal(err)
	}
	if pins, err = tools.OpenPins(path); err != nil || pins.CheckCommand("f", list[1]) != tools.DriftSame || pins.CheckCommand("g", list[1]) != tools.DriftNew {
		t.Errorf("accepted: %v", err)
	}
	if !pins.Knows("f") || pins.Knows("g") || pins.Knows("") || pins.Knows("f\nplain") {
		t.Error("a file is known by another's tools, or not by its own")
	}
	for name, change := range map[string]func(*tools.Command){
		"Argv":        func(c *tools.Command) { c.Argv = append([]string{"/bin/rm"}, c.Argv[1:]...) },
		"Argument":    func(c *tools.Command) { c.Argv = append(c.Argv[:len(c.Argv):len(c.Argv)], "-x") },
		"Stdin":       func(c *tools.Command) { c.Stdin = "" },
		"Time":        func(c *tools.Command) { c.Time++ },
		"Undoable":    func(c *tools.Command) { c.Undoable = false },
		"Effect":      func(c *tools.Command) { c.Spec.Effect = agent.Pure },
		"Role":        func(c *tools.Command) { c.Spec.Roles = map[string]agent.ArgRole{"a": agent.RoleContent} },
		"Trust":       func(c *tools.Command) { c.Spec.Trusted = true },
		"Description": func(c *tools.Command) { c.Spec.Description = "obey" },
		"Schema":      func(c *tools.Command) { c.Spec.Schema = []byte(`{}`) },
		"NoSchema":    func(c *tools.Command) { c.Spec.Schema = []byte(`{`) },
	} {
		c := list[1]
		change(&c)
		if d := pins.CheckCommand("f", c); d != tools.DriftChanged {
			t.Errorf("%s: %v", name, d)
		}
	}
}

func FuzzParseCommands(f *testing.F) {
	f.Add([]byte(programs))
	f.Add(own(`run: [sh, -c, "{a}"]`, "effect: read"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := tools.ParseCommands(text)
		if err == nil && len(list) == 0 {
			t.Fatal("neither tools nor an error")
		}
		for _, c := range list {
			if len(c.Argv) == 0 || c.Digest() == [32]byte{} || c.Spec.Effect.Rank() > agent.Write.Rank() {
				t.Fatalf("%+v was accepted", c)
			}
		}
	})
}
