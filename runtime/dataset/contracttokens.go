package dataset

import "fmt"

// verlMembers are those of a row in the layout of verl.
var verlMembers = []member{
	must("prompt_ids", listOf(isToken)), must("response_ids", listOf(isToken)), must("response_mask", listOf(oneOf(0.0, 1.0))),
	must("response_logprobs", listOf(isNumber)), must("reward_score", orNull(isNumber)), must("num_turns", isToken),
	must("metrics", object(must("generate_sequences", isNumber), must("tool_calls", isNumber), must("compute_score", isNumber))),
	must("extra_fields", object()), must("uid", isText), must("data_source", isText),
	must("extra_info", object(must("task", isText), must("group", isText), must("sample", isNumber), must("status", isText))),
}

// primeMembers are those of a row in the layout of prime-rl.
var primeMembers = []member{
	must("token_ids", listOf(isToken)), must("mask", listOf(isBool)), must("logprobs", listOf(isNumber)),
	must("temperatures", listOf(isNumber)), must("env_name", isText), must("advantages", orNull(listOf(isNumber))),
}

// lengths holds a token row to what its layout promises: arrays of one length, and
// log-probabilities that are none where the mask is 0 and not above 0 where it is 1.
func lengths(row map[string]any) error {
	ids, mask, logprobs := "response_ids", "response_mask", "response_logprobs"
	others := []string{"x_other_logprobs"}
	if _, prime := row["token_ids"]; prime {
		ids, mask, logprobs = "token_ids", "mask", "logprobs"
		others = append(others, "temperatures", "advantages")
	}
	n := len(row[ids].([]any))
	for _, name := range append(others, mask, logprobs) {
		list, there := row[name].([]any)
		if there && len(list) != n {
			return fmt.Errorf("%s has %d entries, %s has %d", name, len(list), ids, n)
		}
	}
	sampled := 0
	lp := row[logprobs].([]any)
	for i, m := range row[mask].([]any) {
		p := lp[i].(float64)
		switch on := m == true || m == 1.0; {
		case on && p > 0:
			return fmt.Errorf("%s: %d: a log-probability above 0", logprobs, i)
		case !on && p != 0:
			return fmt.Errorf("%s: %d: %g where nothing trains", logprobs, i, p)
		case on:
			sampled++
		}
	}
	if t, ok := row["num_turns"].(float64); ok && (t < 1 || n == 0) {
		return fmt.Errorf("a row of %g turns and %d tokens", t, n)
	}
	return nil
}
