package modelserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Fill writes a document of a schema as a server that obeys it does: members in their
// order, with white space as Ollama's grammar has it. choose picks one of the words there
// are to choose from, and says what stands in lists and free text.
func Fill(schema json.RawMessage, choose func(member string, words []string) []string) string {
	var b strings.Builder
	fill(&b, "", schema, choose)
	return b.String()
}

type schemaPart struct {
	Type       string
	Enum       []string
	Properties json.RawMessage
	Items      json.RawMessage
}

func fill(b *strings.Builder, member string, schema json.RawMessage, choose func(string, []string) []string) {
	var s schemaPart
	if err := json.Unmarshal(schema, &s); err != nil {
		fmt.Fprintf(b, "%q", err.Error())
		return
	}
	switch s.Type {
	case "object":
		b.WriteString("{")
		for i, m := range inOrder(s.Properties) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, "\n  %q: ", m.name)
			fill(b, m.name, m.schema, choose)
		}
		b.WriteString("\n}")
	case "array":
		var of schemaPart
		_ = json.Unmarshal(s.Items, &of) // no words to choose from, then
		list, _ := json.Marshal(choose(member, of.Enum))
		b.Write(list)
	default:
		word := ""
		if w := choose(member, s.Enum); len(w) > 0 {
			word = w[0]
		}
		q, _ := json.Marshal(word)
		b.Write(q)
	}
}

type property struct {
	name   string
	schema json.RawMessage
}

// inOrder lists the members of an object in the order they are written in.
func inOrder(object json.RawMessage) []property {
	var list []property
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token()
	for d.More() {
		name, _ := d.Token()
		var p property
		p.name, _ = name.(string)
		if d.Decode(&p.schema) != nil {
			break
		}
		list = append(list, p)
	}
	return list
}
