package dataset_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
)

// atifDoc is a document with every member of the format.
const atifDoc = `{"schema_version":"ATIF-v1.8","session_id":"s","trajectory_id":"t","agent":{"name":"a","version":"1","model_name":"m",` +
	`"tool_definitions":[{"type":"function","function":{"name":"f","parameters":{}}}],"extra":{"x":1}},"steps":[` +
	`{"step_id":1,"source":"system","message":"sys"},` +
	`{"step_id":2,"source":"user","message":[{"type":"text","text":"look"},{"type":"image","source":{"media_type":"image/png","path":"a.png"}},{"type":"audio","source":{"media_type":"audio/wav","path":"a.wav","duration_sec":1.5}}],"is_copied_context":true},` +
	`{"step_id":3,"source":"agent","message":"","timestamp":"2026-01-02T03:04:05Z","model_name":"m","reasoning_effort":"low","reasoning_content":"r",` +
	`"tool_calls":[{"tool_call_id":"c","function_name":"f","arguments":{"k":[1,2.50]},"extra":{"y":null}}],` +
	`"metrics":{"prompt_tokens":3,"completion_tokens":2,"cached_tokens":1,"cost_usd":0.5,"prompt_token_ids":[1,2,3],"completion_token_ids":[4,5],"logprobs":[-0.5,-1],"extra":{}},` +
	`"observation":{"results":[{"source_call_id":"c","content":"out","extra":{"z":true},"subagent_trajectory_ref":[{"trajectory_id":"u"}]}]},"llm_call_count":1,"extra":{}}],` +
	`"notes":"n","continued_trajectory_ref":"next.json","extra":{"e":[]},"subagent_trajectories":[{"schema_version":"ATIF-v1.8","trajectory_id":"u","agent":{"name":"b","version":"1"},"steps":[{"step_id":1,"source":"agent","message":"sub","llm_call_count":0}]}],` +
	`"final_metrics":{"total_prompt_tokens":3,"total_completion_tokens":2,"total_cached_tokens":1,"total_cost_usd":0.5,"total_steps":3,"extra":{}}}`

func TestDecodeATIFKeepsEverything(t *testing.T) {
	d, err := dataset.DecodeATIF([]byte(atifDoc))
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := dataset.DecodeATIF(a)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := again.Encode()
	if !bytes.Equal(a, b) {
		t.Errorf("not stable:\n%s\n%s", a, b)
	}
}

// TestDecodeATIFRefuses breaks the whole document in one place for each rule.
func TestDecodeATIFRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new string }{
		"UnknownMember":         {`"notes":"n"`, `"notes":"n","nots":"n"`},
		"UnknownMemberOfAStep":  {`"message":"sys"`, `"message":"sys","msg":1`},
		"OtherSpelling":         {`"notes":"n"`, `"Notes":"n"`},
		"RepeatedMember":        {`"notes":"n"`, `"notes":"n","notes":"m"`},
		"RepeatedMemberOfExtra": {`{"x":1}`, `{"x":1,"x":2}`},
		"OtherVersion":          {`ATIF-v1.8","session_id"`, `ATIF-v2.0","session_id"`},
		"NoIdentifier":          {`"session_id":"s","trajectory_id":"t",`, ``},
		"NoAgentVersion":        {`"name":"a","version":"1"`, `"name":"a","version":""`},
		"NumberingFromZero":     {`"step_id":1,"source":"system"`, `"step_id":0,"source":"system"`},
		"GapInNumbers":          {`"step_id":3`, `"step_id":4`},
		"UnknownSource":         {`"source":"system"`, `"source":"robot"`},
		"UserReasons":           {`"source":"user",`, `"source":"user","reasoning_content":"x",`},
		"SystemHasMetrics":      {`"message":"sys"`, `"message":"sys","metrics":{}`},
		"ResultOfNoCall":        {`"source_call_id":"c"`, `"source_call_id":"d"`},
		"ArgumentsNoObject":     {`{"k":[1,2.50]}`, `"k"`},
		"CallWithoutAFunction":  {`"function_name":"f"`, `"function_name":""`},
		"FewerLogprobs":         {`[-0.5,-1]`, `[-0.5]`},
		"FewerTokens":           {`[4,5]`, `[4]`},
		"OtherPromptLength":     {`[1,2,3]`, `[1,2]`},
		"PositiveLogprob":       {`[-0.5,-1]`, `[-0.5,1]`},
		"MoreCachedThanPrompt":  {`"cached_tokens":1,"cost`, `"cached_tokens":9,"cost`},
		"NegativeCost":          {`"cost_usd":0.5,"prompt`, `"cost_usd":-1,"prompt`},
		"NegativeCount":         {`"total_steps":3`, `"total_steps":-3`},
		"MetricsWithoutAModel":  {`"llm_call_count":1`, `"llm_call_count":0`},
		"EmbeddedWithoutName":   {`"trajectory_id":"u","agent"`, `"session_id":"u","agent"`},
		"EmbeddedNamedTwice":    {`"trajectory_id":"u","agent"`, `"trajectory_id":"t","agent"`},
		"ReferenceToNothing":    {`[{"trajectory_id":"u"}]`, `[{}]`},
		"UnknownPart":           {`"type":"text"`, `"type":"video"`},
		"TextPartWithASource":   {`"text":"look"`, `"text":"look","source":{"media_type":"image/png","path":"b"}`},
		"UnknownPicture":        {`image/png`, `image/bmp`},
		"ToolThatIsNoFunction":  {`"type":"function"`, `"type":"method"`},
		"TimeNotISO":            {`2026-01-02T03:04:05Z`, `yesterday`},
		"EffortNeither":         {`"reasoning_effort":"low"`, `"reasoning_effort":[]`},
		"ExtraNoObject":         {`"extra":{"x":1}`, `"extra":[1]`},
		"MessageIsANumber":      {`"message":"sys"`, `"message":7`},
		"NumberForText":         {`"notes":"n"`, `"notes":1`},
		"TextAfter":             {`"extra":{}}}`, `"extra":{}}} x`},
		"NotUTF8":               {`"notes":"n"`, "\"notes\":\"\xff\""},
		"Deep":                  {`"extra":{"e":[]}`, `"extra":{"e":` + strings.Repeat("[", 90) + strings.Repeat("]", 90) + `}`},
		"NoSteps":               {`"steps":[{"step_id":1,"source":"agent","message":"sub","llm_call_count":0}]`, `"steps":[]`},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Count(atifDoc, c.old) == 0 {
				t.Fatal("the document does not hold what is to be broken")
			}
			src := strings.Replace(atifDoc, c.old, c.new, 1)
			if _, err := dataset.DecodeATIF([]byte(src)); !errors.Is(err, dataset.ErrATIF) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestDecodeATIFLenientSaysWhatItDropped breaks the whole document in one place each: it
// must still be read, and the report must name the place.
func TestDecodeATIFLenientSaysWhatItDropped(t *testing.T) {
	for name, c := range map[string]struct{ old, new, place string }{
		"UnknownMember":        {`"notes":"n"`, `"notes":"n","nots":"n"`, "/nots"},
		"UnknownMemberOfAStep": {`"message":"sys"`, `"message":"sys","msg":1`, "/steps/0/msg"},
		"RepeatedMember":       {`"notes":"n"`, `"notes":"n","notes":"m"`, `"notes"`},
		"NewerVersion":         {`ATIF-v1.8","session_id"`, `ATIF-v1.11","session_id"`, "/schema_version"},
		"Numbering":            {`"step_id":3`, `"step_id":7`, "/steps/2/step_id"},
		"AgentMembersOfAUser":  {`"is_copied_context":true`, `"reasoning_content":"x"`, "/steps/1"},
		"Timestamp":            {`2026-01-02T03:04:05Z`, `yesterday`, "/steps/2/timestamp"},
		"ResultOfNoCall":       {`"source_call_id":"c"`, `"source_call_id":"d"`, "/results/0/source_call_id"},
		"LengthsOfTokens":      {`"completion_token_ids":[4,5]`, `"completion_token_ids":[4]`, "/steps/2/metrics"},
		"PositiveLogprob":      {`"logprobs":[-0.5,`, `"logprobs":[0.5,`, "/steps/2/metrics"},
		"TextForANumber":       {`"prompt_tokens":3`, `"prompt_tokens":"3"`, "/metrics/prompt_tokens"},
		"NegativeCount":        {`"cached_tokens":1,"cost_usd"`, `"cached_tokens":-1,"cost_usd"`, "/steps/2/metrics"},
		"CachedBeyondPrompt":   {`"cached_tokens":1,"cost_usd"`, `"cached_tokens":9,"cost_usd"`, "/steps/2/metrics"},
		"UnknownPart":          {`{"type":"text","text":"look"}`, `{"type":"video","text":"look"}`, "/steps/1/message/0"},
		"ExtraIsAList":         {`"extra":{"x":1}`, `"extra":[1]`, "/agent/extra"},
		"NotATool":             {`"type":"function","function":{"name"`, `"type":"thing","function":{"name"`, "/agent/tool_definitions/0"},
		"CallWithoutArguments": {`"arguments":{"k":[1,2.50]}`, `"arguments":[]`, "/steps/2/tool_calls/0"},
		"ExtraOfACall":         {`"extra":{"y":null}`, `"extra":7`, "/tool_calls/0/extra"},
		"StepsWithoutAModel":   {`"llm_call_count":1`, `"llm_call_count":0`, "/steps/2"},
		"NegativeTotal":        {`"total_steps":3`, `"total_steps":-3`, "/final_metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			src := strings.Replace(atifDoc, c.old, c.new, 1)
			if src == atifDoc {
				t.Fatal("the document does not hold what is to be broken")
			}
			d, dropped, err := dataset.DecodeATIFLenient([]byte(src))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(dropped, "\n"), c.place) {
				t.Errorf("the report %q does not name %s", dropped, c.place)
			}
			b, err := d.Encode()
			if err == nil {
				_, err = dataset.DecodeATIF(b)
			}
			if err != nil {
				t.Errorf("what was kept is not valid: %v", err)
			}
		})
	}
	t.Run("NothingOfAValidDocument", func(t *testing.T) {
		d, dropped, err := dataset.DecodeATIFLenient([]byte(atifDoc))
		if err != nil || len(dropped) > 0 {
			t.Fatal(dropped, err)
		}
		strict, _ := dataset.DecodeATIF([]byte(atifDoc))
		a, _ := d.Encode()
		if b, _ := strict.Encode(); !bytes.Equal(a, b) {
			t.Errorf("read as\n%s\nwant\n%s", a, b)
		}
	})
	for name, c := range map[string]struct{ old, new string }{
		"NoVersion": {`"schema_version":"ATIF-v1.8","session_id"`, `"session_id"`},
		"NextMajor": {`ATIF-v1.8","session_id"`, `ATIF-v2.0","session_id"`},
		"NoAgent":   {`"name":"a","version":"1"`, `"name":"a"`},
		"NotUTF8":   {`"notes":"n"`, "\"notes\":\"\xff\""},
		"Deep":      {`"extra":{"e":[]}`, `"extra":{"e":` + strings.Repeat("[", 90) + strings.Repeat("]", 90) + `}`},
	} {
		t.Run("StillRefuses"+name, func(t *testing.T) {
			src := strings.Replace(atifDoc, c.old, c.new, 1)
			if _, _, err := dataset.DecodeATIFLenient([]byte(src)); src == atifDoc || !errors.Is(err, dataset.ErrATIF) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestRoundTripOfATIF exports, imports, and exports again.
func TestRoundTripOfATIF(t *testing.T) {
	dir, _ := export(t, dataset.Options{Format: "atif"})
	for n := 1; n <= 3; n++ {
		src, err := os.ReadFile(filepath.Join(dir, id(n)+".json"))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := dataset.DecodeATIF(src)
		if err != nil {
			t.Fatalf("our own export: %v", err)
		}
		runs, err := dataset.FromATIF(doc)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) != 1+len(doc.Subagents) {
			t.Errorf("%d runs of %d trajectories", len(runs), 1+len(doc.Subagents))
		}
		m, r := memory{}, dataset.Run{ID: id(8)}
		s := &script{}
		for _, e := range runs[0].Events {
			s.add(0, e.Body)
			switch e.Body.(type) {
			case *agent.Decided, *agent.CallStart, *agent.Judged, *agent.Turned:
				t.Errorf("an import claims a %s", e.Body.Kind())
			}
		}
		m[id(8)] = s.events
		out := t.TempDir()
		if _, _, err := dataset.Export(context.Background(), m, []dataset.Run{r}, dataset.Options{Format: "atif"}, nil, dataset.About{}, out); err != nil {
			t.Fatal(err)
		}
		back, err := os.ReadFile(filepath.Join(out, id(8)+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(src, back) {
			t.Errorf("run %d came back as\n%s\nwas\n%s", n, back, src)
		}
		turns := t.TempDir()
		_, _, err = dataset.Export(context.Background(), m, []dataset.Run{r}, dataset.Options{Format: "trl-sft", Shape: "turns"}, nil, dataset.About{}, turns)
		if rows, _ := os.ReadFile(filepath.Join(turns, "trl-sft-turns.jsonl")); err != nil || len(rows) > 0 {
			t.Errorf("an imported turn trains: %v, %s", err, rows)
		}
	}
}

func FuzzDecodeATIF(f *testing.F) {
	f.Add([]byte(atifDoc))
	f.Add([]byte(`{"schema_version":"ATIF-v1.0","session_id":"s","agent":{"name":"a","version":"1"},"steps":[{"step_id":1,"source":"user","message":"x"}]}`))
	f.Add([]byte(`{"steps":[null]}`))
	f.Add([]byte(`{"schema_version":"ATIF-v1.9","session_id":"s","more":1,"agent":{"name":"a","version":"1"},"steps":[{"step_id":4,"source":"user","message":"x","metrics":{}}]}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		loose, dropped, lerr := dataset.DecodeATIFLenient(src)
		if lerr == nil {
			b, err := loose.Encode()
			if err == nil {
				_, err = dataset.DecodeATIF(b)
			}
			if err != nil {
				t.Fatalf("what was kept is refused: %v\n%s", err, src)
			}
		}
		d, err := dataset.DecodeATIF(src)
		if err != nil {
			return
		}
		if lerr != nil || len(dropped) > 0 {
			t.Fatalf("a valid document lost %v: %v", dropped, lerr)
		}
		b, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dataset.DecodeATIF(b); err != nil {
			t.Fatalf("what was encoded is refused: %v\n%s", err, b)
		}
		if _, err := dataset.FromATIF(d); err != nil {
			t.Fatal(err)
		}
	})
}
