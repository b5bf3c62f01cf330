//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
)

// given is a call that shows its secrets.
func given(value string) sandbox.Spec {
	return sandbox.Spec{CallID: "x", Profile: sandbox.Standard, Secrets: []sandbox.Secret{{Name: "api.token", Value: []byte(value)}},
		Argv: []string{"/bin/sh", "-c", "cd /run/secrets && stat -c '%n %a %u' . * && cat api.token; echo x >api.token; rm -f api.token; echo x >new; cat api.token"}}
}

func TestToolReadsItsSecret(t *testing.T) {
	const value = "value-of-the-secret-4711"
	r := open(t, sandbox.Config{})
	seen := &bytes.Buffer{}
	note := func(v any) error { return json.NewEncoder(seen).Encode(v) }
	var plan sandbox.PlanRecord
	rec := &recorder{planned: func(p sandbox.PlanRecord) error { plan = p; seen.Write(p.Plan); return note(p) },
		attested: func(a sandbox.Attestation) error { return note(a) }}
	res, err := r.Run(t.Context(), given(value), rec)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(res.Stdout.Bytes()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], ". 700 ") || !strings.HasPrefix(lines[1], "api.token 400 ") || lines[2] != value+value {
		t.Errorf("%q\n%s", lines, res.Stderr.Bytes())
	}
	if n := bytes.Count(res.Stderr.Bytes(), []byte("Read-only file system")) + bytes.Count(res.Stderr.Bytes(), []byte("Permission denied")); n < 3 {
		t.Errorf("it could be changed:\n%s", res.Stderr.Bytes())
	}
	if len(plan.Secrets) != 1 || plan.Secrets[0] != "api.token" {
		t.Errorf("the record names %q", plan.Secrets)
	}
	if bytes.Contains(seen.Bytes(), []byte(value)) {
		t.Error("the value is in a record")
	}
	if _, err := r.Run(t.Context(), given(value+"longer"), &recorder{planned: func(p sandbox.PlanRecord) error {
		if p.Digest != plan.Digest {
			t.Error("another value makes another plan")
		}
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}

// TestSecretStaysInItsCall looks for the secret of one call in the next, in cells that are
// prepared and in those that are not.
func TestSecretStaysInItsCall(t *testing.T) {
	for name, c := range map[string]sandbox.Config{"InCellsOfTheirOwn": {}, "InPreparedCells": {Pool: 2}, "InPreparedCellsAlone": {PoolAlways: true}} {
		t.Run(name, func(t *testing.T) {
			r := open(t, c)
			for range 3 {
				if res, err := r.Run(t.Context(), given("value-of-the-secret-4711"), &recorder{}); err != nil || !strings.Contains(string(res.Stdout.Bytes()), "4711") {
					t.Fatalf("%v %s", err, res.Stderr.Bytes())
				}
				s := given("")
				s.Secrets = nil
				if res, err := r.Run(t.Context(), s, &recorder{}); err != nil || res.Exit == 0 || len(res.Stdout.Bytes()) > 0 {
					t.Errorf("%v %q", err, res.Stdout.Bytes())
				}
			}
		})
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	r := open(t, sandbox.Config{})
	for name, edit := range map[string]func(*sandbox.Spec){
		"UnderStrict":      func(s *sandbox.Spec) { s.Profile = sandbox.Strict },
		"WithoutADecision": func(s *sandbox.Spec) { s.Profile, s.Grants = sandbox.Strict, sandbox.Grants{Secrets: true} },
		"WithAnotherGrant": func(s *sandbox.Spec) {
			s.Profile, s.Grants = sandbox.Strict, sandbox.Grants{Decision: "d", Write: true, Hosts: true}
		},
		"Empty":               func(s *sandbox.Spec) { s.Secrets[0].Value = nil },
		"TooLong":             func(s *sandbox.Spec) { s.Secrets[0].Value = make([]byte, 64<<10+1) },
		"NamedLikeAPath":      func(s *sandbox.Spec) { s.Secrets[0].Name = "../etc/passwd" },
		"NamedTwice":          func(s *sandbox.Spec) { s.Secrets = append(s.Secrets, s.Secrets[0]) },
		"MoreThanThereCanBe":  func(s *sandbox.Spec) { s.Secrets = make([]sandbox.Secret, 17) },
		"WhereSomethingStood": func(s *sandbox.Spec) { s.Mounts = []sandbox.Mount{{Source: "/usr/bin", Target: "/run/secrets"}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := given("value-of-the-secret-4711")
			edit(&s)
			_, err := r.Run(t.Context(), s, &recorder{})
			if !errors.Is(err, sandbox.ErrSpec) {
				t.Fatal(err)
			}
			if strings.Contains(err.Error(), "4711") {
				t.Errorf("the message holds the value: %v", err)
			}
		})
	}
	s := given(strings.Repeat("v", 64<<10))
	s.Profile, s.Grants = sandbox.Strict, sandbox.Grants{Decision: "d", Secrets: true}
	s.Argv = []string{"/bin/sh", "-c", "wc -c </run/secrets/api.token"}
	if res, err := r.Run(t.Context(), s, &recorder{}); err != nil || strings.TrimSpace(string(res.Stdout.Bytes())) != "65536" {
		t.Errorf("granted, as long as can be: %v %s %s", err, res.Stdout.Bytes(), res.Stderr.Bytes())
	}
}
