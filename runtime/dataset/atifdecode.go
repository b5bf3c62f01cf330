package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"
)

// The bounds of a document that is read. It may come from anywhere.
const (
	MaxATIFBytes = 64 << 20
	maxATIFDepth = 64
	maxATIFNodes = 4 << 20
)

// ErrATIF means that a document does not keep to the format.
var ErrATIF = errors.New("not a valid ATIF document")

// DecodeATIF reads a document strictly: UTF-8 JSON without repeated members, only
// members that the format knows, in their exact spelling, and every rule of
// [ATIF.Validate]. Nothing of the input is lost: what it decodes to is encoded to an
// equal document. Errors wrap ErrATIF.
func DecodeATIF(src []byte) (*ATIF, error) {
	d, err := decodeATIF(src)
	if err == nil {
		err = d.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrATIF, err)
	}
	return d, nil
}

func decodeATIF(src []byte) (*ATIF, error) {
	if err := plainText(src); err != nil {
		return nil, err
	}
	tree, err := readTree(src)
	if err != nil {
		return nil, err
	}
	var d ATIF
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	again, err := d.Encode()
	if err != nil {
		return nil, err
	}
	back, err := readTree(again)
	if err != nil {
		return nil, err
	}
	// What the decoder took no notice of, or read under another spelling, shows here.
	return &d, sameTree("", tree, back)
}

// plainText refuses what is too long or not UTF-8.
func plainText(src []byte) error {
	if len(src) > MaxATIFBytes {
		return fmt.Errorf("longer than %d bytes", MaxATIFBytes)
	}
	if !utf8.Valid(src) {
		return errors.New("not UTF-8")
	}
	return nil
}

// readTree reads one JSON value, refusing repeated members, great depth and trailing text.
func readTree(src []byte) (any, error) {
	return readTreeWith(src, func(name string) error { return fmt.Errorf("member %q is repeated", name) })
}

// readTreeWith asks repeated about each repeated member; without an error the last stands.
func readTreeWith(src []byte, repeated func(name string) error) (any, error) {
	r := treeReader{json.NewDecoder(bytes.NewReader(src)), repeated, 0}
	r.d.UseNumber()
	v, err := r.node(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.d.Token(); err != io.EOF {
		return nil, errors.New("text after the document")
	}
	return v, nil
}

type treeReader struct {
	d        *json.Decoder
	repeated func(name string) error
	nodes    int
}

func (r *treeReader) node(depth int) (any, error) {
	d := r.d
	if depth > maxATIFDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxATIFDepth)
	}
	if r.nodes++; r.nodes > maxATIFNodes {
		return nil, fmt.Errorf("more than %d values", maxATIFNodes)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		m := map[string]any{}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := k.(string)
			if _, twice := m[name]; twice {
				if err := r.repeated(name); err != nil {
					return nil, err
				}
			}
			if m[name], err = r.node(depth + 1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return m, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := r.node(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	return t, nil
}

// sameTree reports the first place where b is not the value a. A member that is null
// counts as absent, as does an empty list where the format leaves empty lists out;
// numbers are compared by value.
func sameTree(at string, a, b any) error {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object here", where(at))
		}
		for k, v := range x {
			other, ok := y[k]
			if list, empty := v.([]any); !ok && (v == nil || empty && len(list) == 0) {
				continue
			}
			if !ok {
				return fmt.Errorf("member %s is not known", where(at+"/"+k))
			}
			if err := sameTree(at+"/"+k, v, other); err != nil {
				return err
			}
		}
		for k, v := range y {
			if _, ok := x[k]; !ok && v != nil {
				return fmt.Errorf("member %s is missing", where(at+"/"+k))
			}
		}
		return nil
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return fmt.Errorf("%s is not such a list", where(at))
		}
		for i := range x {
			if err := sameTree(fmt.Sprintf("%s/%d", at, i), x[i], y[i]); err != nil {
				return err
			}
		}
		return nil
	case json.Number:
		y, ok := b.(json.Number)
		if ok && x != y {
			f, errF := x.Float64()
			g, errG := y.Float64()
			ok = errF == nil && errG == nil && f == g
		}
		if !ok {
			return fmt.Errorf("%s is not such a number", where(at))
		}
		return nil
	}
	if !reflect.DeepEqual(a, b) {
		return fmt.Errorf("%s has the wrong form", where(at))
	}
	return nil
}

func where(at string) string {
	if at == "" {
		return "the document"
	}
	return at
}
