package dataset

import (
	"encoding/json"
	"reflect"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// document redacts the document that an imported run gives back. One that cannot be read, or
// was erased, cannot be given back either. Where a secret stood in it, no account of tokens
// leaves: they spell it.
func (c *cleaner) document(t *Trajectory) error {
	d, ok, err := imported(t)
	if !ok || err != nil || t.Start.Config.Data == nil {
		return nil
	}
	if !c.inside(reflect.ValueOf(d).Elem()) {
		return nil
	}
	d.withholdTokens()
	b, err := d.Encode()
	if err != nil {
		return err
	}
	t.Start.Config = &agent.Blob{Media: t.Start.Config.Media, Data: b}
	return nil
}

// structural are the members of a document whose words are the format's own.
var structural = map[string]bool{"schema_version": true, "source": true, "type": true}

// inside redacts every text of a value, and what the format leaves open in it as JSON.
func (c *cleaner) inside(v reflect.Value) bool {
	hit := false
	switch raw, open := v.Interface().(json.RawMessage); {
	case open:
		if hit = c.value(&raw); hit {
			v.SetBytes(raw)
		}
	case v.Kind() == reflect.String:
		text := v.String()
		if hit = c.clean(&text); hit {
			v.SetString(text)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return c.inside(v.Elem())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			hit = c.inside(v.Index(i)) || hit
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String && structural[v.Type().Field(i).Tag.Get("json")] {
				continue
			}
			hit = c.inside(v.Field(i)) || hit
		}
	}
	return hit
}

// withholdTokens leaves out the account of every generation.
func (d *ATIF) withholdTokens() {
	for i := range d.Steps {
		if d.Steps[i].Metrics != nil {
			d.Steps[i].Metrics = withheldMetrics()
		}
	}
	for i := range d.Subagents {
		d.Subagents[i].withholdTokens()
	}
}

// withheldMetrics stands for an account of tokens that may not leave.
func withheldMetrics() *ATIFMetrics {
	return &ATIFMetrics{Extra: json.RawMessage(`{"withheld":true}`)}
}
