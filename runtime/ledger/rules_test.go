package ledger_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

var callA = agent.ToolCall{ID: "a", Tool: "shell", Args: `{"cmd":"ls"}`}.Digest()
var callB = agent.ToolCall{ID: "b", Tool: "shell", Args: `{"cmd":"rm"}`}.Digest()

func verdict(c [32]byte, o agent.Outcome) agent.Event {
	return agent.Event{Call: c, Body: &agent.Judged{By: "gate", Outcome: o}}
}

func ask(c [32]byte, ref int64) agent.Event {
	return agent.Event{Call: c, Ref: ref, Body: &agent.Asked{About: "call"}}
}

func answer(c [32]byte, ref int64, choice agent.Choice) agent.Event {
	return agent.Event{Call: c, Ref: ref, Body: &agent.Answered{Choice: choice, Who: "user"}}
}

func decision(c [32]byte, ref int64, o agent.Outcome) agent.Event {
	return agent.Event{Call: c, Ref: ref, Body: &agent.Decided{Tool: "shell", Outcome: o, By: "gate"}}
}

func start(c [32]byte, ref int64) agent.Event {
	return agent.Event{Call: c, Ref: ref, Body: &agent.CallStart{}}
}

func ready(c [32]byte, ref int64) agent.Event {
	return agent.Event{Call: c, Ref: ref, Body: &agent.CallReady{}}
}

func end(c [32]byte, ref int64, s agent.CallStatus) agent.Event {
	return agent.Event{Call: c, Ref: ref, Body: &agent.CallEnd{Status: s}}
}

func finish() agent.Event { return agent.Event{Body: &agent.RunEnd{Status: agent.StatusDone}} }

// TestRules tries each rule of the schema. The first event of each run is run.start at
// position 1; all but the last event of a sequence must be accepted.
func TestRules(t *testing.T) {
	const allow, deny, asking = agent.Allow, agent.Deny, agent.Ask
	var none [32]byte
	l := open(t, memoryPath(t), ledger.Options{})
	for name, c := range map[string]struct {
		events []agent.Event
		why    string // of the refusal of the last one, "" if it is accepted
	}{
		"AllowsJudgedCall": {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), start(callA, 3),
			ready(callA, 3), end(callA, 3, "ok")}, ""},
		"AllowsConfirmedCall": {[]agent.Event{verdict(callA, asking), ask(callA, 2), answer(callA, 3, agent.ChoiceOnce),
			decision(callA, 4, allow), start(callA, 5)}, ""},
		"AllowsAnswerAfterSuspension": {[]agent.Event{verdict(callA, asking), ask(callA, 2),
			answer(callA, 3, agent.ChoiceSuspend), answer(callA, 3, agent.ChoiceOnce), decision(callA, 5, allow)}, ""},
		"AllowsEndOfDeniedCall": {[]agent.Event{verdict(callA, deny), decision(callA, 2, deny), end(callA, 3, "denied")}, ""},
		"AllowsConfirmedPrompt": {[]agent.Event{ask(none, 1), answer(none, 2, agent.ChoiceOnce)}, ""},

		"RefusesDecisionWithoutVerdict":      {[]agent.Event{decision(callA, 1, allow)}, "unjudged"},
		"RefusesDecisionOnNothing":           {[]agent.Event{decision(callA, 0, allow)}, "unjudged"},
		"RefusesDenyWithoutVerdict":          {[]agent.Event{decision(callA, 1, deny)}, "unjudged"},
		"RefusesDecisionOnOtherCall":         {[]agent.Event{verdict(callB, allow), decision(callA, 2, allow)}, "unjudged"},
		"RefusesAllowOnDeny":                 {[]agent.Event{verdict(callA, deny), decision(callA, 2, allow)}, "unjudged"},
		"RefusesAllowOnAsk":                  {[]agent.Event{verdict(callA, asking), decision(callA, 2, allow)}, "unjudged"},
		"RefusesAllowOnOpenQuestion":         {[]agent.Event{verdict(callA, asking), ask(callA, 2), decision(callA, 3, allow)}, "unjudged"},
		"RefusesAllowOnNo":                   {[]agent.Event{verdict(callA, asking), ask(callA, 2), answer(callA, 3, agent.ChoiceDeny), decision(callA, 4, allow)}, "unjudged"},
		"RefusesAllowOnSuspension":           {[]agent.Event{verdict(callA, asking), ask(callA, 2), answer(callA, 3, agent.ChoiceSuspend), decision(callA, 4, allow)}, "unjudged"},
		"RefusesAllowAgainstAnotherVerdict":  {[]agent.Event{verdict(callA, allow), verdict(callA, deny), decision(callA, 2, allow)}, "overruled"},
		"RefusesAllowAgainstAnotherQuestion": {[]agent.Event{verdict(callA, allow), verdict(callA, asking), decision(callA, 2, allow)}, "overruled"},
		"RefusesYesAgainstDeny":              {[]agent.Event{verdict(callA, deny), ask(callA, 2), answer(callA, 3, agent.ChoiceOnce), decision(callA, 4, allow)}, "overruled"},
		"RefusesSecondDecision":              {[]agent.Event{verdict(callA, allow), decision(callA, 2, deny), decision(callA, 2, allow)}, "decided twice"},
		"RefusesAnswerWithoutQuestion":       {[]agent.Event{verdict(callA, asking), answer(callA, 2, agent.ChoiceOnce)}, "unasked"},
		"RefusesAnswerToOtherCall":           {[]agent.Event{ask(callB, 1), answer(callA, 2, agent.ChoiceOnce)}, "unasked"},
		"RefusesPromptAnswerForCall":         {[]agent.Event{ask(none, 1), answer(callA, 2, agent.ChoiceOnce)}, "unasked"},
		"RefusesSecondAnswer":                {[]agent.Event{ask(callA, 1), answer(callA, 2, agent.ChoiceDeny), answer(callA, 2, agent.ChoiceOnce)}, "answered twice"},

		"RefusesStartWithoutDecision": {[]agent.Event{verdict(callA, allow), start(callA, 2)}, "not allowed"},
		"RefusesStartOfDenied":        {[]agent.Event{verdict(callA, deny), decision(callA, 2, deny), start(callA, 3)}, "not allowed"},
		"RefusesStartUnderOtherCall":  {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), start(callB, 3)}, "not allowed"},
		"RefusesSecondStart":          {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), start(callA, 3), start(callA, 3)}, "decided twice"},
		"RefusesStartAfterEnd":        {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), end(callA, 3, "error"), start(callA, 3)}, "already over"},
		"RefusesStartOfNoCall":        {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), start(none, 3)}, "no call named"},
		"RefusesReadyBeforeStart":     {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), ready(callA, 3)}, "not started"},
		"RefusesEndWithoutDecision":   {[]agent.Event{verdict(callA, allow), end(callA, 2, "error")}, "undecided"},
		"RefusesSuccessWithoutStart":  {[]agent.Event{verdict(callA, allow), decision(callA, 2, allow), end(callA, 3, "ok")}, "not started"},
		"RefusesSuccessOfDenied":      {[]agent.Event{verdict(callA, deny), decision(callA, 2, deny), end(callA, 3, "ok")}, "not started"},
		"RefusesSecondEnd":            {[]agent.Event{verdict(callA, deny), decision(callA, 2, deny), end(callA, 3, "denied"), end(callA, 3, "denied")}, "decided twice"},
		"RefusesEventsAfterEnd":       {[]agent.Event{finish(), say("more")}, "run has ended"},
		"RefusesSecondRunEnd":         {[]agent.Event{finish(), finish()}, "run has ended"},
		"AllowsLabelAfterEnd":         {[]agent.Event{finish(), {Body: &agent.Labelled{Channel: agent.UserPrompt}}}, ""},
		"RefusesSecondRunStart":       {[]agent.Event{{Body: &agent.RunStart{}}}, "first event"},
		"RefusesReferenceToTheFuture": {[]agent.Event{{Ref: 2, Body: &agent.Said{}}}, "refers to"},
		"RefusesEventWithoutBody":     {[]agent.Event{{}}, "no body"},
		"RefusesEventWithNilBody":     {[]agent.Event{{Body: (*agent.Said)(nil)}}, "no body"},
		"RefusesBlobThatIsNowhere":    {[]agent.Event{{Body: &agent.Said{Text: &agent.Blob{Digest: [32]byte{1}}}}}, "not stored"},
		"RefusesNumbersThatAreNot":    {[]agent.Event{{Body: &agent.GenEnd{Probs: []float64{nan()}}}}, "encode payload"},
		"RefusesBlobWithoutMedia":     {[]agent.Event{{Body: &agent.Said{Text: &agent.Blob{Data: []byte("x")}}}}, "media"},
	} {
		t.Run(name, func(t *testing.T) {
			r := started(t, l)
			last := len(c.events) - 1
			for _, e := range c.events[:last] {
				add(t, r, e)
			}
			n, err := r.Append(t.Context(), c.events[last])
			if c.why == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, ledger.ErrRefused) || !strings.Contains(err.Error(), c.why) {
				t.Fatalf("Append = %d, %v; want a refusal: %s", n, err, c.why)
			}
			if ev, err := l.ReadAll(t.Context(), r.ID()); err != nil || len(ev) != last+1 {
				t.Errorf("after the refusal %d events, %v; want %d", len(ev), err, last+1)
			}
			if rep, err := l.Verify(t.Context()); err != nil || !rep.OK() {
				t.Errorf("after the refusal: %v\n%s", err, rep)
			}
			if !strings.HasPrefix(name, "RefusesEventsAfter") && !strings.HasPrefix(name, "RefusesSecondRunEnd") {
				add(t, r, say("the run can go on"))
			}
		})
	}
}

func nan() float64 { var zero float64; return zero / zero }

func TestFirstEventMustBeRunStart(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	r := begin(t, l, ledger.RunInfo{})
	if _, err := r.Append(t.Context(), say("hello")); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("Append gave %v", err)
	}
	if runs, err := l.Runs(t.Context()); err != nil || len(runs) != 0 {
		t.Errorf("Runs = %v, %v; want none", runs, err)
	}
}

// TestAppendOnly tries to change rows as another program would, with recursive
// triggers off, so that only the schema stands in the way.
func TestAppendOnly(t *testing.T) {
	path := newPath(t)
	l := open(t, path, ledger.Options{})
	r := started(t, l)
	add(t, r, verdict(callA, agent.Allow))
	db := rawDB(t, path)
	if _, err := db.Exec(`INSERT INTO checkpoint SELECT 1, origin, n, 'note', '', 0 FROM head WHERE n = 1`); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"meta", "blob", "run", "event", "head", "checkpoint"} {
		cols := columns(t, db, table)
		stmts := []string{
			"DELETE FROM " + table,
			"INSERT OR REPLACE INTO " + table + " SELECT * FROM " + table,
			"REPLACE INTO " + table + " SELECT * FROM " + table + " LIMIT 1",
			"INSERT INTO " + table + " SELECT * FROM " + table + " WHERE true ON CONFLICT DO UPDATE SET " + cols[0] + " = " + cols[0],
		}
		for _, c := range cols {
			stmts = append(stmts, "UPDATE "+table+" SET "+c+" = "+c, "UPDATE OR REPLACE "+table+" SET "+c+" = "+c)
		}
		before := dump(t, db, table)
		for _, s := range stmts {
			if _, err := db.Exec(s); err == nil {
				t.Errorf("%s: was carried out", s)
			} else if m := err.Error(); !strings.Contains(m, "append only") && !strings.Contains(m, "exists") && !strings.Contains(m, "only be erased") {
				t.Errorf("%s: %v; want a refusal by a trigger", s, err)
			}
		}
		if after := dump(t, db, table); after != before {
			t.Errorf("%s has changed", table)
		}
	}
	t.Run("RefusesSecondSelf", func(t *testing.T) {
		_, err := db.Exec("INSERT INTO meta VALUES (zeroblob(16), 1, '', '', '', 0, zeroblob(32))")
		if err == nil {
			t.Error("a second row of this file's own was inserted")
		}
	})
	t.Run("RefusesBrokenLinks", func(t *testing.T) {
		for _, s := range []string{
			"INSERT INTO event SELECT run, 3, 'score', 0, 0, NULL, 0, 0, '{}', zeroblob(32), zeroblob(32) FROM run",
			"INSERT INTO event SELECT run, 5, 'score', 0, 0, NULL, 0, 0, '{}', zeroblob(32), zeroblob(32) FROM run",
			"INSERT INTO head SELECT origin, 2, 'mark', run, 1, zeroblob(32), 0, zeroblob(32), zeroblob(32) FROM run",
			"INSERT INTO head SELECT origin, 9, 'mark', run, 1, zeroblob(32), 0, zeroblob(32), zeroblob(32) FROM run",
		} {
			if _, err := db.Exec(s); err == nil || !strings.Contains(err.Error(), "broken chain") {
				t.Errorf("%s: %v; want a broken chain", s, err)
			}
		}
	})
	t.Run("ErasesOnlyWhole", func(t *testing.T) {
		for _, s := range []string{
			"UPDATE blob SET data = NULL", "UPDATE blob SET salt = NULL", "UPDATE blob SET data = NULL, salt = NULL, size = 1",
		} {
			if _, err := db.Exec(s); err == nil {
				t.Errorf("%s: was carried out", s)
			}
		}
		if _, err := db.Exec("UPDATE blob SET data = NULL, salt = NULL"); err != nil {
			t.Errorf("erase: %v", err)
		}
		rep, err := l.Verify(t.Context())
		if err != nil || rep.Erased != 1 || rep.Integrity.Count != 1 {
			t.Errorf("an erasure without a redaction gave %v\n%v%v", err, rep, rep.Integrity)
		}
		ev, err := l.ReadAll(t.Context(), r.ID())
		if err != nil || ev[0].Body.(*agent.RunStart).Task.Data != nil {
			t.Errorf("erased blob read back: %v", err)
		}
	})
}

// rawDB opens the file as any client might.
func rawDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func columns(t testing.TB, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.Query("SELECT name FROM pragma_table_info(?)", table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

// dump gives all rows of a table as text.
func dump(t testing.TB, db *sql.DB, table string) string {
	t.Helper()
	var s string
	q := "SELECT group_concat(quote(" + strings.Join(columns(t, db, table), ") || ',' || quote(") + "), ';') FROM " + table
	if err := db.QueryRow(q).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
