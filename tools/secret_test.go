package tools_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// printing is a runner whose tools print what they are told to.
type printing struct {
	runner
	res sandbox.Result
}

func (p *printing) Run(ctx context.Context, s sandbox.Spec, r sandbox.Recorder) (sandbox.Result, error) {
	p.specs = append(p.specs, s)
	if err := r.Planned(ctx, sandbox.PlanRecord{CallID: s.CallID, Decision: s.Grants.Decision}); err != nil {
		return sandbox.Result{}, err
	}
	return p.res, nil
}

const token = "s3cret/token+value=&\"x"

const (
	accessKey = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
	rawKey    = "\xff\x00\xfe binary\xf0key"
)

func lending(t *testing.T, res sandbox.Result) (*tools.Registry, *printing) {
	t.Helper()
	p := &printing{res: res}
	reg, err := tools.New(tools.Config{Runner: p, Workspace: t.TempDir(),
		Commands: commands(t, own("run: [/bin/cat]", "effect: sensitive_read", "secrets: [api.token]")),
		Secrets: []tools.Secret{{Name: "api.token", Value: []byte(token + "\n")}, {Name: "other", Value: []byte("line one of the key\nline two of the key\n")},
			{Name: "settings", Value: []byte("[default]\nkey_id = short\nsecret_key = " + accessKey + "==\n")}, {Name: "raw", Value: []byte(rawKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	return reg, p
}

// wrapped is a text broken after every seventh byte.
func wrapped(s, by string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += 7 {
		b.WriteString(s[i:min(i+7, len(s))] + by)
	}
	return b.String()
}

// TestSecretsAreMasked prints a secret in every way a program would: what comes back, and
// what is recorded, holds none.
func TestSecretsAreMasked(t *testing.T) {
	quoted, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding
	for name, text := range map[string]string{
		"AsItIs":               token,
		"Twice":                token + token,
		"InJSON":               string(quoted),
		"PercentEncoded":       url.QueryEscape(token),
		"InHexadecimal":        hex.EncodeToString([]byte(token)),
		"InBase64":             b64.EncodeToString([]byte(token)),
		"InBase64BehindOne":    b64.EncodeToString([]byte(":" + token + "zz")),
		"InBase64BehindTwo":    b64.EncodeToString([]byte("a:" + token + "\n")),
		"InURLBase64":          base64.URLEncoding.EncodeToString([]byte("user:" + token)),
		"OneLineOfAnother":     "line two of the key",
		"WholeOtherInBase64":   b64.EncodeToString([]byte("line one of the key\nline two of the key\n")),
		"InWrappedBase64":      wrapped(b64.EncodeToString([]byte("user:"+token)), "\n"),
		"InWrappedHexadecimal": wrapped(hex.EncodeToString([]byte(token)), "\r\n   "),
		"Wrapped":              wrapped(token, "\n"),
		"InOthersJSON":         strings.NewReplacer(`"`, `\"`, `/`, `\/`).Replace(token),
		"InHTML":               html.EscapeString(token),
		"KeyAmongSettings":     accessKey,
		"ThatKeyInBase64":      b64.EncodeToString([]byte("x" + accessKey)),
		"NoText":               rawKey,
		"AcrossBothParts":      "",
		"CutInTheMiddle":       "",
		"InAnAccountOfTheCell": "",
	} {
		t.Run(name, func(t *testing.T) {
			res := sandbox.Result{Stdout: captured("it is <" + text + ">"), Stderr: captured(text)}
			switch name {
			case "AcrossBothParts":
				res.Stdout = sandbox.Capture{Head: []byte("<" + token[:9]), Tail: []byte(token[9:] + ">"), Total: int64(len(token) + 2)}
			case "CutInTheMiddle":
				res.Stdout = sandbox.Capture{Head: []byte("<" + token[:9]), Tail: []byte(token[9:] + ">"), Total: 1 << 20}
			case "InAnAccountOfTheCell":
				res.Conns = []sandbox.NetConn{{Host: token, Verdict: "net.name"}, {Host: strings.ToLower(accessKey) + ".example.com", Verdict: "allowed"}}
			}
			reg, p := lending(t, res)
			c := call("probe", `{}`)
			o, err := reg.Execute(t.Context(), agenttest.Permit(1, c, agent.Grant{Secrets: []string{"api.token"}}), c, &journal{})
			if err != nil {
				t.Fatal(err)
			}
			for what, s := range map[string]string{"text": o.Text, "account": o.Sandbox.String()} {
				for _, bad := range []string{token, token[:9], token[9:], "two of the key", text, strings.ToLower(accessKey)} {
					if bad != "" && strings.Contains(s, bad) {
						t.Errorf("the %s holds %q: %s", what, bad, s)
					}
				}
			}
			if name != "InAnAccountOfTheCell" && !strings.Contains(o.Text, "[secret ") {
				t.Errorf("nothing says that something was left out: %s", o.Text)
			}
			if s := p.specs[0]; len(s.Secrets) != 1 || string(s.Secrets[0].Value) != token+"\n" || !s.Grants.Secrets {
				t.Errorf("the cell was given %d secrets", len(s.Secrets))
			}
		})
	}
}

// TestSecretsAreGivenToWhoDeclaresThem grants secrets to tools that do not declare them, and
// declares what was not given.
func TestSecretsAreGivenToWhoDeclaresThem(t *testing.T) {
	reg, p := lending(t, sandbox.Result{})
	for _, tt := range []struct {
		tool, args string
		grant      []string
		want       bool
	}{
		{"probe", `{}`, []string{"api.token"}, true},
		{"probe", `{}`, nil, true},
		{"probe", `{}`, []string{"other"}, false},
		{"probe", `{}`, []string{"none"}, false},
		{"run_command", `{"command":"x"}`, []string{"api.token"}, false},
		{"read_file", `{"path":"x"}`, []string{"api.token"}, false},
	} {
		p.specs = nil
		c := call(tt.tool, tt.args)
		_, err := reg.Execute(t.Context(), agenttest.Permit(1, c, agent.Grant{Secrets: tt.grant}), c, &journal{})
		if (err == nil) != tt.want || !tt.want && len(p.specs) > 0 {
			t.Errorf("%s %q: %v", tt.tool, tt.grant, err)
		}
		if tt.want && len(p.specs[0].Secrets) != len(tt.grant) {
			t.Errorf("%s was given %d secrets", tt.tool, len(p.specs[0].Secrets))
		}
	}
	declared := commands(t, own("run: [/bin/cat]", "effect: sensitive_read", "secrets: [api.token]"))
	if names := reg.Secrets(declared[0].Spec); len(names) != 1 || names[0] != "api.token" {
		t.Errorf("%q", names)
	}
	plain := declared[0]
	if plain.Secrets = nil; plain.Digest() == declared[0].Digest() {
		t.Error("secrets are no part of what is accepted")
	}
	for name, given := range map[string][]tools.Secret{
		"NotGiven": nil,
		"Short":    {{Name: "api.token", Value: []byte("1234567\n")}},
		"Long":     {{Name: "api.token", Value: make([]byte, 64<<10+1)}},
		"Twice":    {{Name: "api.token", Value: []byte(token)}, {Name: "api.token", Value: []byte(token)}},
		"OddName":  {{Name: "api.token", Value: []byte(token)}, {Name: "../x", Value: []byte(token)}},
	} {
		_, err := tools.New(tools.Config{Runner: p, Workspace: t.TempDir(), Commands: declared, Secrets: given})
		if !errors.Is(err, tools.ErrSecret) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "post"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	inside := declared[0]
	inside.Argv = []string{filepath.Join(dir, "post")}
	_, err := tools.New(tools.Config{Runner: p, Workspace: dir, Commands: []tools.Command{inside}, Secrets: []tools.Secret{{Name: "api.token", Value: []byte(token)}}})
	if err == nil || !strings.Contains(err.Error(), "lies in the workspace") {
		t.Errorf("a program that tools can change: %v", err)
	}
	for want, text := range map[string][]byte{
		"sensitive_read at least": own("run: [wc]", "effect: read", "secrets: [a]"),
		"trusted":                 own("run: [wc]", "effect: sensitive_read", "trusted: true", "secrets: [a]"),
		"lies in the workspace":   own("run: [sh, post.sh]", "effect: sensitive_read", "secrets: [a]"),
		"stands twice":            own("run: [wc]", "effect: sensitive_read", "secrets: [a, a]"),
		"small letters":           own("run: [wc]", "effect: sensitive_read", "secrets: [A]"),
	} {
		if _, err := tools.ParseCommands(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
