package dataset_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/dataset"
)

// sets are the options of every set that Check must take.
func sets() map[string]dataset.Options {
	out := map[string]dataset.Options{
		"verl-parquet":  {Format: "tokens", Parquet: true},
		"prime-parquet": {Format: "tokens", Layout: "prime", Parquet: true},
		"prime":         {Format: "tokens", Layout: "prime"},
		"sft":           {Format: "tokens", Imitate: true},
		"review":        {Format: "tokens", Role: "review"},
		"thoughts":      {Format: "openai", Thoughts: true},
		"tools as text": {Format: "trl-dpo", ToolsText: true},
	}
	for name, g := range golden {
		out[name] = g.o
		o := g.o
		o.Bare = !o.Bare
		if o.Format != "atif" {
			out["other "+name] = o
		}
	}
	return out
}

// TestCheckTakesEverySet reads every set with decoders that know nothing of the writer.
func TestCheckTakesEverySet(t *testing.T) {
	for name, o := range sets() {
		t.Run(name, func(t *testing.T) {
			dir, card := export(t, o)
			c, err := dataset.Check(dir)
			if err != nil {
				t.Fatal(err)
			}
			if c.Rows != card.Rows || c.Rows == 0 || c.Files != len(card.Files) {
				t.Errorf("%+v of %d rows in %d files", c, card.Rows, len(card.Files))
			}
			if o.Format == "tokens" && c.Tokens == 0 {
				t.Error("no token trains")
			}
		})
	}
}

// forge replaces a text in the file of a set and makes the card fit, so that only the
// rows themselves can give it away.
func forge(t *testing.T, dir, name, old, new string) {
	t.Helper()
	path := filepath.Join(dir, name)
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(src), old) {
		t.Fatalf("the file does not hold %s", old)
	}
	src = []byte(strings.Replace(string(src), old, new, 1))
	if err := os.WriteFile(path, src, 0o600); err != nil {
		t.Fatal(err)
	}
	var card map[string]any
	b, err := os.ReadFile(filepath.Join(dir, "card.json"))
	if err == nil {
		err = json.Unmarshal(b, &card)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := sha256.Sum256(src)
	card["files"].(map[string]any)[name] = hex.EncodeToString(d[:])
	if b, err = json.Marshal(card); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "card.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCheckRefuses breaks one thing in a set for each rule of its contract.
func TestCheckRefuses(t *testing.T) {
	const verl, prime = "tokens-verl.jsonl", "tokens-prime.jsonl"
	for name, c := range map[string]struct{ golden, old, new string }{
		"ShorterMask":            {verl, `"response_mask":[1,0,1,0,0,1,1]`, `"response_mask":[1,0,1,0,0,1]`},
		"ShorterLogprobs":        {verl, `"response_logprobs":[-0.5,`, `"response_logprobs":[`},
		"MaskOfTwo":              {verl, `"response_mask":[1,`, `"response_mask":[2,`},
		"TokenBelowZero":         {verl, `"prompt_ids":[1,`, `"prompt_ids":[-1,`},
		"HalfAToken":             {verl, `"prompt_ids":[1,`, `"prompt_ids":[1.5,`},
		"PositiveLogprob":        {verl, `"response_logprobs":[-0.5,0,`, `"response_logprobs":[0.5,0,`},
		"LogprobWithoutMask":     {verl, `"response_logprobs":[-0.5,0,`, `"response_logprobs":[-0.5,-1,`},
		"UnknownMember":          {verl, `"uid":"g"`, `"uid":"g","more":1`},
		"RepeatedMember":         {verl, `"uid":"g"`, `"uid":"g","uid":"h"`},
		"MissingMember":          {verl, `"uid":"g",`, ``},
		"NoTurns":                {verl, `"num_turns":2`, `"num_turns":0`},
		"UnknownSplit":           {verl, `"x_split":"train"`, `"x_split":"all"`},
		"CutOff":                 {verl, "}}}\n", "}}}"},
		"TemperaturesOfPrime":    {prime, `"temperatures":[1,`, `"temperatures":[`},
		"AdvantagesOfPrime":      {prime, `"advantages":[0,`, `"advantages":[`},
		"ArgumentsAsText":        {"trl-sft.jsonl", `"arguments":{"path":"a.conf"}`, `"arguments":"{}"`},
		"ArgumentsAsObject":      {"openai.jsonl", `"arguments":"{\"path\":\"a.conf\"}"`, `"arguments":{}`},
		"ResultOfNoCall":         {"openai.jsonl", `"tool_call_id":"c1"`, `"tool_call_id":"c9"`},
		"ResultOfNoFunction":     {"trl-sft.jsonl", `"name":"read_file","content"`, `"name":"other","content"`},
		"SystemMessageWithin":    {"trl-sft.jsonl", `"role":"user"`, `"role":"system"`},
		"UnknownRole":            {"trl-sft.jsonl", `"role":"user"`, `"role":"human"`},
		"NoWeight":               {"openai.jsonl", `,"weight":1`, ``},
		"WeightOfTwo":            {"openai.jsonl", `"weight":1`, `"weight":2`},
		"NothingSaid":            {"openai.jsonl", `"content":"The port is 80."`, `"content":null`},
		"PromptThatEndsWithTurn": {"trl-dpo.jsonl", `{"role":"user","content":"Delete x."}`, `{"role":"assistant","content":"Delete x."}`},
		"TwoChosen":              {"trl-dpo.jsonl", `"chosen":[`, `"chosen":[{"role":"assistant","content":"x"},`},
		"LabelAsNumber":          {"trl-kto.jsonl", `"label":true`, `"label":1`},
		"ToolsOfNoFunction":      {"trl-grpo.jsonl", `"tools":[{"type":"function"`, `"tools":[{"type":"thing"`},
		"TaskAsNumber":           {"trl-grpo.jsonl", `"task":"port"`, `"task":7`},
		"PreferredByTheUser":     {"openai-pairs.jsonl", `"preferred_output":[{"role":"assistant","content":null,`, `"preferred_output":[{"role":"user","content":null,`},
		"SidesThatDoNotTakeTurn": {"sharegpt.jsonl", `{"from":"human","value":"What is the port?"},`, ``},
		"CallThatIsNoJSON":       {"sharegpt.jsonl", `"function_call","value":"{`, `"function_call","value":"[`},
		"ToolsThatAreNoJSON":     {"sharegpt.jsonl", `"tools":"[`, `"tools":"`},
		"UnknownMemberOfATIF":    {"atif-a.json", `"schema_version"`, `"more":1,"schema_version"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := golden[c.golden]
			dir, _ := export(t, g.o)
			forge(t, dir, g.file, c.old, c.new)
			if _, err := dataset.Check(dir); !errors.Is(err, dataset.ErrContract) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("FileOfAnotherDigest", func(t *testing.T) {
		dir, _ := export(t, dataset.Options{Format: "trl-kto"})
		if err := os.WriteFile(filepath.Join(dir, "trl-kto.jsonl"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dataset.Check(dir); !errors.Is(err, dataset.ErrContract) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("MissingRow", func(t *testing.T) {
		dir, _ := export(t, dataset.Options{Format: "trl-kto"})
		src, err := os.ReadFile(filepath.Join(dir, "trl-kto.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(src), "\n")
		forge(t, dir, "trl-kto.jsonl", first+"\n", "")
		if _, err := dataset.Check(dir); !errors.Is(err, dataset.ErrContract) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("ParquetThatIsNone", func(t *testing.T) {
		dir, _ := export(t, dataset.Options{Format: "tokens", Parquet: true})
		forge(t, dir, "part-00000.parquet", "PAR1", "PAR2")
		if _, err := dataset.Check(dir); !errors.Is(err, dataset.ErrContract) {
			t.Errorf("error %v", err)
		}
	})
}
