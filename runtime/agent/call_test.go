package agent_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

func TestToolCallDigest(t *testing.T) {
	t.Run("MatchesThePublishedVector", func(t *testing.T) {
		d := agent.ToolCall{ID: "c1", Tool: "shell", Args: `{"cmd":"ls"}`}.Digest()
		const want = "7bcd30882f91df55e7b27ed9c23e721a5d613a8e6b14df897e8f0edd9a44a6f7"
		if got := hex.EncodeToString(d[:]); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	})
	t.Run("FieldsCannotRunIntoEachOther", func(t *testing.T) {
		a := agent.ToolCall{ID: "1", Tool: "ab", Args: "c"}.Digest()
		b := agent.ToolCall{ID: "1", Tool: "a", Args: "bc"}.Digest()
		if a == b {
			t.Error("two different calls share a digest")
		}
	})
}

func TestCheckArgs(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 80) + "1" + strings.Repeat("}", 80)
	for _, c := range []struct {
		name, args string
		ok         bool
	}{
		{"AcceptsAnObject", `{"a":[1,{"b":null}],"c":"d"}`, true},
		{"AcceptsTheEmptyObject", `{}`, true},
		{"AcceptsOneNameAtTwoDepths", `{"a":{"a":1}}`, true},
		{"RefusesARepeatedMember", `{"a":1,"a":2}`, false},
		{"RefusesAMemberRepeatedThroughAnEscape", `{"a":1,"\u0061":2}`, false},
		{"RefusesARepeatedMemberBelow", `{"x":[{"a":1,"a":2}]}`, false},
		{"RefusesAnArray", `[]`, false},
		{"RefusesNothing", ``, false},
		{"RefusesASecondValue", `{} {}`, false},
		{"RefusesACutObject", `{"a":`, false},
		{"RefusesBytesThatAreNotText", "{\"a\":\"\xff\"}", false},
		{"RefusesDeepNesting", deep, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := agent.ToolCall{Args: c.args}.CheckArgs()
			if (err == nil) != c.ok || (err != nil && !errors.Is(err, agent.ErrArguments)) {
				t.Errorf("CheckArgs(%q) = %v", c.args, err)
			}
		})
	}
}

func FuzzCheckArgs(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"a":2}`, `{"a":[{"b":"c"}]}`, `[`, ``} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if (agent.ToolCall{Args: s}).CheckArgs() == nil && !json.Valid([]byte(s)) {
			t.Errorf("%q passed and is not JSON", s)
		}
	})
}

func TestZeroValuesRefuse(t *testing.T) {
	if (agent.Verdict{}).Outcome != agent.Deny {
		t.Error("the zero Verdict does not deny")
	}
	if (agent.Answer{}).Choice != agent.ChoiceDeny {
		t.Error("the zero Answer does not deny")
	}
	if agent.Label(0) == agent.Benign || agent.Taint(0) != agent.TaintMalicious {
		t.Error("the zero label or taint is not the worst")
	}
	if agent.EffectUnknown.Rank() != agent.Irreversible.Rank() {
		t.Error("an unannotated effect does not count as the worst")
	}
	call := agent.ToolCall{ID: "1", Tool: "act", Args: "{}"}
	if (agent.Permit{}).Covers(call.Digest()) || (agent.Permit{}).Covers([32]byte{}) {
		t.Error("the zero Permit covers a call")
	}
	if (agent.Authority{}).Has("act") {
		t.Error("the zero Authority authorises a tool")
	}
}

func TestWordsRoundTrip(t *testing.T) {
	for _, v := range []any{agent.Benign, agent.Sensitive, agent.Malicious, agent.Allow, agent.Ask, agent.Deny,
		agent.TaintClean, agent.TaintUntrusted, agent.Write, agent.Irreversible, agent.SourceUser, agent.ChoiceOnce} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		switch v := v.(type) {
		case agent.Label:
			var got agent.Label
			if json.Unmarshal(b, &got); got != v {
				t.Errorf("%s became %s", v, got)
			}
		case agent.Outcome:
			var got agent.Outcome
			if json.Unmarshal(b, &got); got != v {
				t.Errorf("%s became %s", v, got)
			}
		case agent.Taint:
			var got agent.Taint
			if json.Unmarshal(b, &got); got != v {
				t.Errorf("%s became %s", v, got)
			}
		case agent.Effect:
			var got agent.Effect
			if json.Unmarshal(b, &got); got != v {
				t.Errorf("%s became %s", v, got)
			}
		}
	}
}
