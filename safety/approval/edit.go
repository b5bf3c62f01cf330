package approval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Change reads what a person typed to change the arguments of a call: a whole JSON object,
// which takes the place of all of them, or the name of one, a blank and its new value. A
// value that was a text is taken as it was typed; any other must be JSON. The rest of the
// arguments stays as it is, to the byte and in its order. A change that changes nothing, a
// name that is not there and arguments that no tool could be given are errors.
func Change(args, typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	out := typed
	if !strings.HasPrefix(typed, "{") {
		name, value, _ := strings.Cut(typed, " ")
		var err error
		if out, err = setMember(args, name, value); err != nil {
			return "", err
		}
	}
	if err := (agent.ToolCall{Args: out}).CheckArgs(); err != nil {
		return "", err
	}
	if out == args {
		return "", errors.New("that is what the call holds already")
	}
	return out, nil
}

// setMember replaces the value of one member of an object.
func setMember(args, name, value string) (string, error) {
	d := json.NewDecoder(strings.NewReader(args))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", agent.ErrArguments
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("%w: %v", agent.ErrArguments, err)
		}
		var old json.RawMessage
		if err := d.Decode(&old); err != nil {
			return "", fmt.Errorf("%w: %v", agent.ErrArguments, err)
		}
		if key != name {
			continue
		}
		now := []byte(value)
		if bytes.HasPrefix(old, []byte(`"`)) {
			if now, err = json.Marshal(value); err != nil {
				return "", err
			}
		} else if !json.Valid(now) {
			return "", fmt.Errorf("%s is no text: give it as JSON", plainName(name))
		}
		end := int(d.InputOffset())
		return args[:end-len(old)] + string(now) + args[end:], nil
	}
	return "", fmt.Errorf("the call has no argument %s", plainName(name))
}
