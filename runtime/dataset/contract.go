package dataset

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// shape is what a value of a row must be. It shares nothing with what writes rows: both
// follow the documents of the formats, and Check holds one against the other.
type shape func(v any) error

// member is one member of an object.
type member struct {
	name     string
	of       shape
	optional bool
}

// object has the given members and no others.
func object(members ...member) shape {
	return func(v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object", brief(v))
		}
		known := map[string]bool{}
		for _, k := range members {
			known[k.name] = true
			x, there := m[k.name]
			if !there && k.optional {
				continue
			}
			if !there {
				return fmt.Errorf("%s is missing", k.name)
			}
			if err := k.of(x); err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
		}
		for _, k := range sorted(m) {
			if !known[k] {
				return fmt.Errorf("%s is not known", k)
			}
		}
		return nil
	}
}

func must(name string, of shape) member { return member{name, of, false} }
func may(name string, of shape) member  { return member{name, of, true} }

func listOf(of shape) shape {
	return func(v any) error {
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s is not a list", brief(v))
		}
		for i, x := range list {
			if err := of(x); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	}
}

func isText(v any) error {
	if _, ok := v.(string); !ok {
		return fmt.Errorf("%s is not a text", brief(v))
	}
	return nil
}

func isBool(v any) error {
	if _, ok := v.(bool); !ok {
		return fmt.Errorf("%s is neither true nor false", brief(v))
	}
	return nil
}

func isNumber(v any) error {
	if f, ok := v.(float64); !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%s is not a number", brief(v))
	}
	return nil
}

func isToken(v any) error {
	if f, ok := v.(float64); !ok || f != math.Trunc(f) || f < 0 || f > math.MaxInt32 {
		return fmt.Errorf("%s is not a token", brief(v))
	}
	return nil
}

func anyObject(v any) error {
	if _, ok := v.(map[string]any); !ok {
		return fmt.Errorf("%s is not an object", brief(v))
	}
	return nil
}

func oneOf(values ...any) shape {
	return func(v any) error {
		if !slices.Contains(values, v) {
			return fmt.Errorf("%s is not one of %v", brief(v), values)
		}
		return nil
	}
}

func orNull(of shape) shape {
	return func(v any) error {
		if v == nil {
			return nil
		}
		return of(v)
	}
}

// all must hold, the first first.
func all(shapes ...shape) shape {
	return func(v any) error {
		for _, s := range shapes {
			if err := s(v); err != nil {
				return err
			}
		}
		return nil
	}
}

// asJSON is a text that is JSON of a shape.
func asJSON(of shape) shape {
	return func(v any) error {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s is not a text", brief(v))
		}
		var inner any
		if err := json.Unmarshal([]byte(s), &inner); err != nil {
			return fmt.Errorf("read JSON text: %w", err)
		}
		return of(inner)
	}
}

func brief(v any) string {
	s := fmt.Sprint(v)
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return s
}

// The parts of chat rows.
var (
	spoken   = object(must("role", isText), must("content", isText))
	declared = object(must("name", isText), must("description", isText), must("parameters", anyObject))
	toolsOf  = listOf(object(must("type", oneOf("function")), must("function", declared)))

	toolsEither = func(v any) error { // TRL: also as JSON text
		if _, text := v.(string); text {
			return asJSON(toolsOf)(v)
		}
		return toolsOf(v)
	}

	// OpenAI: arguments are text, calls are named by identifier.
	textCalls = listOf(object(must("id", isText), must("type", oneOf("function")),
		must("function", object(must("name", isText), must("arguments", asJSON(anyObject))))))
	textMessage = byRole(map[string]shape{
		"system": spoken, "user": spoken,
		"assistant": object(must("role", isText), must("content", orNull(isText)), may("reasoning_content", isText),
			may("weight", oneOf(0.0, 1.0)), may("tool_calls", textCalls)),
		"tool": object(must("role", isText), must("tool_call_id", isText), must("content", isText)),
	})

	// TRL: arguments are an object, results are named by function.
	openCalls = listOf(object(must("type", oneOf("function")),
		must("function", object(must("name", isText), must("arguments", anyObject)))))
	openMessage = byRole(map[string]shape{
		"system": spoken, "user": spoken,
		"assistant": object(must("role", isText), must("content", isText), may("reasoning_content", isText), may("tool_calls", openCalls)),
		"tool":      object(must("role", isText), must("name", isText), must("content", isText)),
	})
)

func byRole(of map[string]shape) shape {
	return func(v any) error {
		m, _ := v.(map[string]any)
		role, _ := m["role"].(string)
		s, ok := of[role]
		if !ok {
			return fmt.Errorf("role %q is not known", role)
		}
		return s(v)
	}
}

// conversation is a list of messages whose order makes sense: a system message only at
// the beginning, results only after the calls that they answer. key names a call within
// a message, and an answered call within a result.
func conversation(message shape, call, result string) shape {
	return all(listOf(message), func(v any) error {
		open := map[any]int{}
		for i, x := range v.([]any) {
			m := x.(map[string]any)
			switch m["role"] {
			case "system":
				if i > 0 {
					return fmt.Errorf("%d: a system message stands within", i)
				}
			case "tool":
				if open[m[result]]--; open[m[result]] < 0 {
					return fmt.Errorf("%d: the result answers no call", i)
				}
			case "assistant":
				calls, _ := m["tool_calls"].([]any)
				if m["content"] == nil && len(calls) == 0 {
					return fmt.Errorf("%d: the message says nothing", i)
				}
				for _, c := range calls {
					c := c.(map[string]any)
					name := c[call]
					if call == "name" {
						name = c["function"].(map[string]any)["name"]
					}
					open[name]++
				}
			}
		}
		return nil
	})
}

// ends is a list whose last message has one of the roles.
func ends(roles ...any) shape {
	return func(v any) error {
		list := v.([]any)
		if len(list) == 0 {
			return fmt.Errorf("no messages")
		}
		return oneOf(roles...)(list[len(list)-1].(map[string]any)["role"])
	}
}

// single is one message of the agent.
func single(v any) error {
	list := v.([]any)
	if len(list) != 1 {
		return fmt.Errorf("%d messages, want one", len(list))
	}
	return oneOf("assistant")(list[0].(map[string]any)["role"])
}

var (
	textTalk = conversation(textMessage, "id", "tool_call_id")
	openTalk = conversation(openMessage, "name", "name")
	before   = all(openTalk, ends("user", "tool")) // what a turn follows
	one      = all(openTalk, single)
	oneText  = all(textTalk, single)
)

// openaiInput is a request of OpenAI's fine-tuning.
func openaiInput(talk shape) []member {
	return []member{must("messages", talk), must("tools", toolsOf), must("parallel_tool_calls", isBool)}
}

// contracts says what a row of each file is, by the stem of its name.
var contracts = map[string][]member{
	"openai": openaiInput(all(textTalk, ends("assistant"), weighted)),
	"openai-pairs": {must("input", object(openaiInput(all(textTalk, ends("user", "tool")))...)),
		must("preferred_output", oneText), must("non_preferred_output", oneText)},
	"trl-sft":       {must("messages", all(openTalk, ends("assistant"))), must("tools", toolsEither)},
	"trl-sft-turns": {must("prompt", before), must("completion", one), must("tools", toolsEither)},
	"trl-dpo":       {must("prompt", before), must("chosen", one), must("rejected", one), must("tools", toolsEither)},
	"trl-kto":       {must("prompt", before), must("completion", one), must("label", isBool), must("tools", toolsEither)},
	"trl-grpo": {must("prompt", all(openTalk, ends("user"))), must("tools", toolsEither), must("task", isText),
		must("x_labels", anyObject), must("x_verifier", orNull(isText))},
	"sharegpt":     {must("conversations", turnsTaken), must("system", isText), must("tools", asJSON(listOf(declared)))},
	"tokens-verl":  verlMembers,
	"tokens-prime": primeMembers,
}

// weighted is a conversation in which every message of the agent says whether it trains.
func weighted(v any) error {
	for i, x := range v.([]any) {
		m := x.(map[string]any)
		if _, ok := m["weight"]; m["role"] == "assistant" && !ok {
			return fmt.Errorf("%d: weight is missing", i)
		}
	}
	return nil
}

// turnsTaken is a conversation of ShareGPT: the sides take turns.
var turnsTaken = all(listOf(object(must("from", oneOf("human", "gpt", "function_call", "observation")), must("value", isText))),
	func(v any) error {
		call := object(must("name", isText), must("arguments", anyObject))
		sides := [2][]any{{"human", "observation"}, {"gpt", "function_call"}}
		list := v.([]any)
		for i, x := range list {
			t := x.(map[string]any)
			if !slices.Contains(sides[i%2], t["from"]) {
				return fmt.Errorf("%d: %v is not a turn of this side", i, t["from"])
			}
			if t["from"] != "function_call" {
				continue
			}
			one, many := asJSON(call), asJSON(listOf(call))
			if one(t["value"]) != nil && many(t["value"]) != nil {
				return fmt.Errorf("%d: not a call", i)
			}
		}
		if len(list) == 0 || len(list)%2 != 0 {
			return fmt.Errorf("%d turns", len(list))
		}
		return nil
	})

// marks are the members that rows of a kind carry unless the set is bare.
func marks(stem string) []member {
	out := []member{must("x_id", isText), must("x_run", isText), must("x_split", oneOf("train", "validation", "test")), must("x_reward", anyObject)}
	switch {
	case strings.HasPrefix(stem, "tokens"):
		out = append(out, must("x_row", isToken), must("x_rows", isToken), must("x_logprobs", oneOf(LogprobsRaw, LogprobsSampled)),
			must("x_other_logprobs", listOf(isNumber)), must("x_advantage", orNull(isNumber)), must("x_gguf", isText))
	case stem == "trl-dpo", stem == "openai-pairs":
		out = append(out, must("x_source", oneOf("edit", "denial", "fork", "retry")), must("x_margin", orNull(isNumber)), must("x_chosen", isToken),
			must("x_rejected", isToken), must("x_rejected_run", isText), must("x_after_denial", isBool))
	}
	return out
}
