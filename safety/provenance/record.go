package provenance

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
)

// entry is one record of a structured response: the values of its fields, those of a list
// each. What a field maps from, such as the addresses that a file is shared with, is a
// value of it. What else is nested, objects in a list or in an object, may speak of
// somebody else and is no part of the record.
type entry []value

type value struct{ field, text string }

// entries reads a response as records: the objects of a list, or the one object there
// is. An object with a single field stands for what the field holds. A text that is not
// wholly JSON, or the YAML that programs print, has none.
func entries(text string) []entry {
	text = strings.TrimSpace(unframed(text))
	if text == "" || len(text) > maxStructured {
		return nil
	}
	var v any
	var err error
	if text[0] == '{' || text[0] == '[' {
		v, err = parseJSON(text)
	} else {
		v, err = parseYAML(text)
	}
	if err != nil {
		return nil
	}
	for {
		m, ok := v.(map[string]any)
		if !ok || len(m) != 1 {
			break
		}
		inner := only(m)
		if _, scalar := inner.(string); scalar {
			break
		}
		v = inner
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []entry
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, fields(m))
		}
	}
	return out
}

func only(m map[string]any) (v any) {
	for _, v = range m {
	}
	return v
}

func fields(m map[string]any) entry {
	var e entry
	for field, v := range m {
		switch v := v.(type) {
		case string:
			e = append(e, value{field, v})
		case []any:
			for _, x := range v {
				if s, ok := x.(string); ok {
					e = append(e, value{field, s})
				}
			}
		case map[string]any:
			for k, x := range v {
				if _, ok := x.(string); ok {
					e = append(e, value{field, k})
				}
			}
		}
	}
	return e
}

// unframed takes the marks off a tool response. A text without them stands as it is.
func unframed(s string) string {
	first, rest, ok := strings.Cut(s, "\n")
	nonce, found := strings.CutPrefix(first, "<data ")
	if !ok || !found {
		return s
	}
	in, found := strings.CutSuffix(rest, "\n</data "+nonce)
	if !found {
		return s
	}
	return in
}

var errNotJSON = errors.New("not one plain JSON document")

// parseJSON reads one JSON document whose objects have no member twice. Scalars are
// strings, numbers as they are written.
func parseJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil || depth > maxNesting {
		return nil, errNotJSON
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return jsonList(d, depth)
		}
		return jsonObject(d, depth)
	case string:
		return t, nil
	case json.Number:
		return t.String(), nil
	case bool:
		if t {
			return "true", nil
		}
		return "false", nil
	}
	return "", nil
}

func jsonList(d *json.Decoder, depth int) (any, error) {
	out := []any{}
	for d.More() {
		v, err := jsonValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func jsonObject(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		k, err := d.Token()
		name, ok := k.(string)
		if _, twice := out[name]; err != nil || !ok || twice {
			return nil, errNotJSON
		}
		if out[name], err = jsonValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

// identifying are the words of the names of fields that say who or which: not fields of
// prose, in which anybody may write anything.
var identifying = set("id ids uid uuid guid email emails mail mails phone iban account accounts sender recipient recipients to from cc " +
	"participant participants attendee attendees guest guests invitee invitees member members owner owners organizer organiser author user users username login " +
	"handle contact contacts shared key ref reference number")

// identifies reports whether a field holds who or which, by the words of its name.
func identifies(field string) bool {
	words := strings.FieldsFunc(strings.ToLower(separated(field)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return slices.ContainsFunc(words, func(w string) bool { return identifying[w] })
}

// separated puts a blank where a capital begins a word.
func separated(s string) string {
	var b strings.Builder
	low := false
	for _, r := range s {
		if low && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		low = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(r)
	}
	return b.String()
}
