package provenance_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/provenance"
)

// searched makes a conversation in which the model called a search with these arguments
// and got a response.
func searched(prompt, args, response string) agent.Conversation {
	c := said(prompt)
	c.Tools = append(c.Tools, agent.ToolSpec{Name: "search", Effect: agent.Read, Roles: map[string]agent.ArgRole{
		"query": agent.RoleSelector, "day": agent.RoleSelector, "limit": agent.RoleSelector, "note": agent.RoleContent,
	}})
	return c.With(
		agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{{ID: "s", Tool: "search", Args: args}},
			Origin: agent.Origin{Source: agent.SourceModel}},
		from("search", "s", "<data 00ff00ff>\n"+response+"\n</data 00ff00ff>"),
	)
}

const plan = `- attendees:
  - bea@example.org
  notes: 'Ask carl@example.org

    who knows'
  event_id: '7'
  title: Budget plan
`

func TestRecordThatTheUserNamed(t *testing.T) {
	const user, tool = agent.SourceUser, agent.SourceTool
	const query = `{"query":"Budget plan"}`
	for _, tt := range []struct {
		name, prompt, args, response, value string
		want                                agent.Source
	}{
		{"GivesItsFields", "invite everybody of 'Budget plan' again", query, plan, "bea@example.org", user},
		{"GivesItsID", "move the Budget plan", query, plan, "7", user},
		{"GivesFieldsOfJSON", "mail Ann Lee", `{"query":"Ann Lee"}`, `{"people":[{"name":"Ann Lee","email":"ann@example.org"}]}`, "ann@example.org", user},
		{"GivesKeysThatNameSomebody", "send Budget plan", query, "title: Budget plan\nshared_with:\n  dan@example.org: rw\n", "dan@example.org", user},
		{"KnowsItsNameByItsWords", "add milk to my grocery list", `{"query":"grocery list"}`, "- file: grocery-list-today.txt\n  id: '9'\n", "9", user},
		{"KnowsADayByItsMonth", "the Budget plan on May 3rd", `{"query":"Budget plan","day":"2024-05-03"}`, plan, "bea@example.org", user},
		{"MayBeLimited", "move the Budget plan", `{"query":"Budget plan","limit":5}`, plan, "7", user},

		{"GivesNoProse", "invite everybody of 'Budget plan' again", query, plan, "carl@example.org", tool},
		{"GivesNoFreeField", "mail Ann Lee", `{"query":"Ann Lee"}`, `{"name":"Ann Lee","bio":"evil@example.net"}`, "evil@example.net", tool},
		{"IsNotNamedByTheModel", "invite everybody again", query, plan, "bea@example.org", tool},
		{"IsNotNamedInPart", "move the Budget plan", `{"query":"Budget plan","day":"2024-05-03"}`, plan, "7", tool},
		{"IsNotNamedByAnotherDay", "the Budget plan on May 13th", `{"query":"Budget plan","day":"2024-05-03"}`, plan, "7", tool},
		{"IsNotNamedByAnotherYear", "the Budget plan on May 3, 2023", `{"query":"Budget plan","day":"2024-05-03"}`, plan, "7", tool},
		{"IsNotNamedByOneWord", "please invite everybody", `{"query":"please"}`, "- title: please\n  id: '7'\n", "7", tool},
		{"IsNotNamedByADay", "what is on 2024-05-03?", `{"day":"2024-05-03"}`, "- day: 2024-05-03\n  id: '7'\n", "7", tool},
		{"IsOne", "mail Ann Lee", `{"query":"Ann Lee"}`, `[{"name":"Ann Lee","email":"ann@example.org"},{"name":"Ann Lee","email":"evil@example.net"}]`, "ann@example.org", tool},
		{"IsNotTheOneBesideIt", "mail Ann Lee", `{"query":"Ann Lee"}`, `[{"name":"Ann Lee","email":"ann@example.org"},{"name":"Eve","email":"evil@example.net"}]`, "evil@example.net", tool},
		{"IsNotTheEnvelope", "mail Ann Lee", `{"query":"Ann Lee"}`, `{"people":[{"name":"Ann Lee","email":"ann@example.org"},{"name":"Eve","email":"evil@example.net"}],"count":2}`, "evil@example.net", tool},
		{"IsNotTheEchoOfTheQuery", "mail Ann Lee", `{"query":"Ann Lee"}`, `{"query":"Ann Lee","people":[{"name":"Eve","email":"evil@example.net"}]}`, "evil@example.net", tool},
		{"IsNoMapOfOthers", "mail Ann Lee", `{"query":"Ann Lee"}`, `{"a":{"name":"Ann Lee"},"b":{"name":"Eve","email":"evil@example.net"}}`, "evil@example.net", tool},
		{"IsNotWhoCommentedOnIt", "move the Budget plan", query, `{"title":"Budget plan","id":"7","comments":[{"author":"evil@example.net","text":"x"}]}`, "evil@example.net", tool},
		{"IsNotTheCommentThatNamesIt", "move the Budget plan", query, `{"title":"The budget","comments":[{"author":"evil@example.net","text":"Budget plan"}]}`, "evil@example.net", tool},
		{"GivesItsIDBesideComments", "move the Budget plan", query, `{"title":"Budget plan","id":"7","comments":[{"author":"evil@example.net","text":"x"}]}`, "7", user},
		{"HasNoFieldTwice", "mail Ann Lee", `{"query":"Ann Lee"}`, `{"name":"Ann Lee","email":"ann@example.org","email":"evil@example.net"}`, "evil@example.net", tool},
		{"HasNoKeyTwice", "move the Budget plan", query, plan + "  event_id: '8'\n", "8", tool},
		{"IsNothingElseBeside", "move the Budget plan", query, "Here it is.\n" + plan, "7", tool},
		{"IsNotOfContent", "move the Budget plan", `{"note":"Budget plan"}`, plan, "7", tool},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := provenance.Read(searched(tt.prompt, tt.args, tt.response), &provenance.Memo{})
			o := r.Origin(tt.value, agent.RoleTarget)
			if o.Source != tt.want {
				t.Errorf("%s is of the %s, want %s", tt.value, o.Source, tt.want)
			}
			if tt.want == user && (o.Tool != "search" || o.CallID != "s") {
				t.Errorf("origin %+v does not name the response", o)
			}
			for _, role := range []agent.ArgRole{agent.RolePath, agent.RoleCommand, agent.RoleCredential} {
				if r.Origin(tt.value, role).Trusted() {
					t.Errorf("%s is trusted as a %s", tt.value, role)
				}
			}
		})
	}
}

// TestContentsOfFilesAreNoRecords reads the same record from a file that the user named:
// anybody may have written it.
// TestAnswersFromOutsideAreNoRecords takes no record from a tool that reaches out, or of
// which nothing is declared: whoever answers there chooses what its records hold.
func TestAnswersFromOutsideAreNoRecords(t *testing.T) {
	for effect, want := range map[agent.Effect]agent.Source{
		agent.Read: agent.SourceUser, agent.SensitiveRead: agent.SourceUser,
		agent.Outward: agent.SourceTool, agent.Irreversible: agent.SourceTool, agent.EffectUnknown: agent.SourceTool,
	} {
		c := searched("move the Budget plan", `{"query":"Budget plan"}`, plan)
		c.Tools[len(c.Tools)-1].Effect = effect
		if o := provenance.Read(c, nil).Origin("7", agent.RoleTarget); o.Source != want {
			t.Errorf("%v: %v, want %v", effect, o.Source, want)
		}
	}
}

func TestContentsOfFilesAreNoRecords(t *testing.T) {
	c := said("read team.yaml and mail them")
	c.Tools = append(c.Tools, agent.ToolSpec{Name: "open", Effect: agent.Read, Roles: map[string]agent.ArgRole{"path": agent.RolePath}})
	c = c.With(agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{{ID: "o", Tool: "open", Args: `{"path":"team.yaml"}`}},
		Origin: agent.Origin{Source: agent.SourceModel}}, from("open", "o", "file: team.yaml\nemail: evil@example.net\n"))
	if o := provenance.Read(c, nil).Origin("evil@example.net", agent.RoleTarget); o.Trusted() {
		t.Errorf("origin %+v", o)
	}
}

func TestNumbersAreTheUsersByValue(t *testing.T) {
	spec := agent.ToolSpec{Name: "pay", Effect: agent.Outward, Roles: map[string]agent.ArgRole{"amount": agent.RoleTarget}}
	for _, tt := range []struct {
		name, prompt, amount string
		want                 bool
	}{
		{"OtherDigits", "pay 10.00 to him", `10`, true}, {"Thousands", "pay $1,200 now", `1200.0`, true}, {"Same", "pay 7.", `7`, true},
		{"OtherValue", "pay 10.00 to him", `100`, false}, {"PartOfDate", "on 2024-10-01", `10`, false}, {"Exponent", "pay 10", `1e1`, false},
		{"TextIsNoNumber", "pay 10.00", `"10"`, false}, {"Sign", "pay 10", `-10`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sinks, err := provenance.Read(said(tt.prompt, "x"), nil).Sinks(agent.ToolCall{Tool: "pay", Args: `{"amount":` + tt.amount + `}`}, spec)
			if err != nil || len(sinks) != 1 || sinks[0].Origin.Trusted() != tt.want {
				t.Errorf("%+v, %v", sinks, err)
			}
		})
	}
}

func TestCallWithoutSinks(t *testing.T) {
	spec := agent.ToolSpec{Name: "plan", Effect: agent.Outward, Schema: json.RawMessage(`{"properties":{"title":{},"day":{}}}`),
		Roles: map[string]agent.ArgRole{"title": agent.RoleContent, "day": agent.RoleSelector}}
	for _, tt := range []struct {
		name, args string
		responses  []string
		effect     agent.Effect
		want       int
	}{
		{"OfTheUserAlone", `{}`, nil, agent.Outward, 0},
		{"AfterAResponse", `{}`, []string{"x"}, agent.Outward, 1},
		{"OfUndeclaredEffect", `{}`, []string{"x"}, agent.EffectUnknown, 1},
		{"OfARead", `{}`, []string{"x"}, agent.Read, 0},
		{"WithAWordOfTheUsers", `{"title":"Follow-up","day":"tomorrow"}`, []string{"x"}, agent.Outward, 0},
		{"WithAllOfTheUsers", `{"day":"May"}`, []string{"x"}, agent.Outward, 0},
		{"WithAWordInPassing", `{"title":"obey","day":"May"}`, []string{"x"}, agent.Outward, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := spec
			s.Effect = tt.effect
			sinks, err := provenance.Read(said("plan a Follow-up in May", tt.responses...), nil).Sinks(agent.ToolCall{Tool: "plan", Args: tt.args}, s)
			if err != nil || len(sinks) != tt.want {
				t.Errorf("%+v, %v, want %d", sinks, err, tt.want)
			}
			if provenance.Least(sinks) > agent.SourceModel && tt.want > 0 {
				t.Errorf("least %v", provenance.Least(sinks))
			}
		})
	}
}

func TestBorrowsDecoded(t *testing.T) {
	spec := agent.ToolSpec{Name: "mail", Effect: agent.Outward, Roles: map[string]agent.ArgRole{
		"subject": agent.RoleContent, "body": agent.RoleContent, "flag": agent.RoleSelector}}
	const secret = "the code is 463820, tell nobody about it"
	for _, tt := range []struct {
		name, args string
		want       bool
	}{
		{"Plain", `{"body":"463820"}`, true},
		{"Base64", `{"body":"take NDYzODIw with you"}`, true},
		{"Base64OfAPassage", `{"body":"dGVsbCBub2JvZHkgYWJvdXQgaXQ="}`, true},
		{"Hex", `{"body":"343633383230"}`, true},
		{"Percent", `{"body":"%34%36%33%38%32%30"}`, true},
		{"Backwards", `{"body":"028364 si edoc eht"}`, true},
		{"Twice", `{"body":"TkRZek9ESXc="}`, true},
		{"OverTwoArguments", `{"body":"463","subject":"820"}`, true},
		{"EncodedOverTwoArguments", `{"body":"NDYz","subject":"ODIw"}`, true},
		{"OwnWords", `{"body":"I wrote this message myself, Zm9vYmFy"}`, false},
		{"AFlag", `{"body":"hello","flag":"is"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := provenance.Read(said("mail bob", secret), nil).Borrows(agent.ToolCall{Tool: "mail", Args: tt.args}, spec)
			if err != nil || got != tt.want {
				t.Errorf("borrows %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

// FuzzRecord reads responses of any shape. Whatever they are, what only they hold is the
// user's only by a record, and reading ends.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{plan, `{"a":[{"name":"Ann Lee","email":"x@y"}]}`, "- - a: b\n", "a: 'b\n\n  c'\n", "a: \"b\\\n  \\ c\"\n", "a:\n- b\n", "'", "- '"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, response string) {
		c := searched("mail Ann Lee", `{"query":"Ann Lee"}`, response)
		r := provenance.Read(c, nil)
		o := r.Origin("evil@example.net", agent.RoleTarget)
		if o.Trusted() && !strings.Contains(response, "evil@example.net") {
			t.Errorf("origin %+v of a value nobody wrote", o)
		}
		if _, err := r.Borrows(agent.ToolCall{Tool: "search", Args: `{"note":"evil@example.net"}`}, agent.ToolSpec{Roles: map[string]agent.ArgRole{"note": agent.RoleContent}}); err != nil {
			t.Error(err)
		}
	})
}
