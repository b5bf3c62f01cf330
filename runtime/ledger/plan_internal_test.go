package ledger

import (
	"regexp"
	"strings"
	"testing"
)

// TestPlans keeps every look-up that an append makes on an index that leads to a few
// rows: a plan that reads the whole run makes long runs slow. The statements of
// event_rule are explained with a table in the place of NEW.
func TestPlans(t *testing.T) {
	db := openMemory()
	defer db.Close()
	if _, err := db.Exec(schemaSQL + "; CREATE TABLE new_row AS SELECT * FROM event"); err != nil {
		t.Fatal(err)
	}
	_, rule, _ := strings.Cut(schemaSQL, "CREATE TRIGGER event_rule BEFORE INSERT ON event BEGIN")
	rule, _, ok := strings.Cut(rule, "END;")
	if !ok {
		t.Fatal("event_rule is not in the schema")
	}
	raise := regexp.MustCompile(`^\s*SELECT RAISE\(ABORT, '([a-z ]+)'\)`)
	queries := map[string]string{"summary": summaryQuery + " WHERE r.run = x'00'", "open_call": "SELECT * FROM open_call"}
	for _, s := range strings.Split(rule, ";\n") {
		if m := raise.FindStringSubmatch(s); m != nil {
			queries[m[1]] = raise.ReplaceAllString(s, "SELECT 1 FROM new_row NEW")
		}
	}
	if len(queries) != 14 {
		t.Errorf("%d statements found, want 14", len(queries))
	}
	few := regexp.MustCompile(`PRIMARY KEY \(run=\? AND seq=\?|event_(call|ref|kind) \(.*kind=\?|autoindex|MULTI-INDEX`)
	for name, q := range queries {
		rows, err := db.Query("EXPLAIN QUERY PLAN " + q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var step string
			if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
				t.Fatal(err)
			}
			table, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(step, "SEARCH "), "SCAN "), " ")
			if !strings.Contains(" event v a e s q ", " "+table+" ") || few.MatchString(step) {
				continue
			}
			if name == "summary" && strings.HasSuffix(step, "e USING PRIMARY KEY (run=?)") {
				continue // max(seq) takes the last row at once
			}
			t.Errorf("%s: %s", name, step)
		}
		rows.Close()
	}
}
