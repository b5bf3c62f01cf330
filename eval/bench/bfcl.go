package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// BFCL is the suite of that layout: requests with functions and the calls that serve
// them. Irrelevant are requests that no function serves.
type BFCL struct {
	Cases      []Case
	Irrelevant []Case
}

// ReadBFCL reads the BFCL_*.json files of a folder, JSON lines, with their answers in
// possible_answer. A file without answers holds requests that no function serves.
// effect is what every function is taken to do.
func ReadBFCL(dir string, effect agent.Effect) (*BFCL, error) {
	files, err := filepath.Glob(filepath.Join(dir, "BFCL_*.json"))
	if err != nil {
		return nil, err
	}
	s := &BFCL{}
	for _, f := range files {
		answers, err := bfclAnswers(filepath.Join(dir, "possible_answer", filepath.Base(f)))
		if err != nil {
			return nil, err
		}
		err = lines(f, func(line []byte) error {
			c, err := bfclCase(line, effect)
			if err != nil {
				return err
			}
			if answers == nil {
				s.Irrelevant = append(s.Irrelevant, c)
				return nil
			}
			if c.Steps, err = answers[c.ID].steps(c); err != nil {
				return fmt.Errorf("%s: %w", c.ID, err)
			}
			s.Cases = append(s.Cases, c)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(s.Cases) == 0 {
		return nil, fmt.Errorf("read suite: %s holds no answered requests", dir)
	}
	return s, nil
}

// lines calls f with each line of a file that is not empty. Errors name the line.
func lines(path string, f func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read suite: %w", err)
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 4<<20)
	for n := 1; sc.Scan(); n++ {
		if len(bytes.TrimSpace(sc.Bytes())) == 0 {
			continue
		}
		if err := f(sc.Bytes()); err != nil {
			return fmt.Errorf("read %s: line %d: %w", path, n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func bfclCase(line []byte, effect agent.Effect) (Case, error) {
	var q struct {
		ID       string `json:"id"`
		Question [][]struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"question"`
		Function []struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return Case{}, err
	}
	c := Case{ID: q.ID, Suite: "BFCL"}
	for _, turn := range q.Question {
		for _, m := range turn {
			c.Prompt += m.Content + "\n"
		}
	}
	c.Prompt = strings.TrimSpace(c.Prompt)
	if c.ID == "" || c.Prompt == "" || len(q.Function) == 0 {
		return c, errors.New("id, question and function are needed")
	}
	for _, f := range q.Function {
		schema, err := jsonSchema(f.Parameters)
		if err != nil {
			return c, fmt.Errorf("function %s: %w", f.Name, err)
		}
		s := tool(f.Name, f.Description, schema, Manifest{})
		s.Effect = effect
		c.Tools = append(c.Tools, s)
	}
	c.Tools = sorted(c.Tools)
	return c, nil
}

// jsonSchema turns a schema with the types of BFCL into JSON Schema.
func jsonSchema(raw json.RawMessage) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(converted(v, false))
}

var bfclTypes = map[string]string{
	"dict": "object", "float": "number", "tuple": "array", "any": "", "int": "integer", "bool": "boolean", "str": "string", "list": "array",
	"hashmap": "object", "hashtable": "object", "map": "object", "record": "object", "arraylist": "array", "set": "array", "queue": "array",
	"stack": "array", "double": "number", "long": "integer", "short": "integer", "byte": "integer", "bigint": "integer", "char": "string",
}

// converted replaces the types of one schema. In a map of properties the members are
// schemas, whatever they are called.
func converted(v any, names bool) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = converted(v[i], false)
		}
	case map[string]any:
		for k, e := range v {
			kind, ok := e.(string)
			switch {
			case !names && k == "type" && ok:
				if to, known := bfclTypes[strings.ToLower(kind)]; known {
					v[k] = to
				}
				if v[k] == "" {
					delete(v, k)
				}
			case !names && (k == "default" || k == "enum" || k == "description"):
			case !names && (k == "optional" || k == "required" && !isList(e)):
				delete(v, k)
			default:
				v[k] = converted(e, !names && k == "properties")
			}
		}
	}
	return v
}

func isList(v any) bool { _, ok := v.([]any); return ok }

// bfclAnswer is the calls that serve a request: function, argument, possible values.
type bfclAnswer struct {
	ID    string                                  `json:"id"`
	Truth []map[string]map[string]json.RawMessage `json:"ground_truth"`
}

// bfclAnswers reads a file of answers by request, nil if there is none.
func bfclAnswers(path string) (map[string]*bfclAnswer, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	out := map[string]*bfclAnswer{}
	return out, lines(path, func(line []byte) error {
		a := &bfclAnswer{}
		if err := json.Unmarshal(line, a); err != nil {
			return err
		}
		out[a.ID] = a
		return nil
	})
}

// steps are the calls with the first possible value of each argument. One whose first
// value is empty is left out, unless the function requires it.
func (a *bfclAnswer) steps(c Case) ([]Step, error) {
	if a == nil || len(a.Truth) == 0 {
		return nil, errors.New("the request has no answer")
	}
	var out []Step
	for _, call := range a.Truth {
		for _, fn := range slices.Sorted(maps.Keys(call)) {
			if c.Spec(fn).Name == "" {
				return nil, fmt.Errorf("the answer calls %q, which is not on offer", fn)
			}
			need, has := required(c.Spec(fn).Schema), properties(c.Spec(fn).Schema)
			args := map[string]any{}
			for arg, values := range call[fn] {
				if _, known := has[arg]; !known && mayMiss(values) {
					continue // the answer names an argument that the function has elsewhere
				}
				if v, ok := firstValue(values, need[arg]); ok {
					args[arg] = v
				}
			}
			b, err := json.Marshal(args)
			if err != nil {
				return nil, err
			}
			out = append(out, Step{Tool: fn, Args: string(b), Output: "done"})
		}
	}
	return out, nil
}

func required(schema json.RawMessage) map[string]bool {
	var s struct{ Required []string }
	out := map[string]bool{}
	if json.Unmarshal(schema, &s) == nil {
		for _, n := range s.Required {
			out[n] = true
		}
	}
	return out
}

// firstValue takes the first of a list of possible values, at every depth. ok is false
// where it is the empty text, which says that the argument may be missing; of one that
// may not, the last value is taken then.
func firstValue(raw json.RawMessage, needed bool) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var list []any
	if d.Decode(&list) != nil || len(list) == 0 {
		return nil, false
	}
	if s, ok := list[0].(string); ok && s == "" {
		return settled(list[len(list)-1]), needed
	}
	return settled(list[0]), true
}

// mayMiss reports whether the empty text is among the possible values.
func mayMiss(raw json.RawMessage) bool {
	var list []any
	return json.Unmarshal(raw, &list) == nil && slices.Contains(list, any(""))
}

// settled takes the first possible value of each member of an object.
func settled(v any) any {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			v[i] = settled(e)
		}
	case map[string]any:
		for k, e := range v {
			if l, ok := e.([]any); ok && len(l) > 0 {
				if s, ok := l[0].(string); ok && s == "" {
					delete(v, k)
					continue
				}
				v[k] = settled(l[0])
			}
		}
	}
	return v
}
