package agent

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Blob is text or data from users, models and tools inside an event. It is kept
// apart from the event's payload, which holds only its digest, so that it can be
// erased later without breaking the chain. Whoever records the event sets Digest.
type Blob struct {
	Media  string // text/plain, application/json, x-i32le, x-f32le, x-bits
	Data   []byte // nil once erased
	Digest [32]byte
}

// Text makes a blob of UTF-8 text.
func Text(s string) *Blob { return &Blob{Media: "text/plain", Data: []byte(s)} }

// JSON makes a blob of the JSON encoding of v, which must be encodable.
func JSON(v any) *Blob {
	b, err := json.Marshal(v)
	if err != nil {
		panic("internal error: encode blob: " + err.Error())
	}
	return &Blob{Media: "application/json", Data: b}
}

// Strings lists the texts in a JSON value as package encoding/json decodes it, in the order
// of its arrays and of the names of its members; the names themselves, and numbers, are none.
func Strings(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, Strings(x)...)
		}
		return out
	case map[string]any:
		var out []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = append(out, Strings(v[name])...)
		}
		return out
	}
	return nil
}

// String returns the blob's data as text, "" for nil or an erased one.
func (b *Blob) String() string {
	if b == nil {
		return ""
	}
	return string(b.Data)
}

// MarshalJSON writes the reference {"blob":"<hex digest>"}.
func (b *Blob) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"blob": hex.EncodeToString(b.Digest[:])})
}

// UnmarshalJSON reads a reference; Data stays nil.
func (b *Blob) UnmarshalJSON(src []byte) error {
	var ref struct {
		Blob string `json:"blob"`
	}
	if err := json.Unmarshal(src, &ref); err != nil {
		return err
	}
	d, err := hex.DecodeString(ref.Blob)
	if err != nil || len(d) != len(b.Digest) {
		return fmt.Errorf("blob reference %q is not a digest", ref.Blob)
	}
	copy(b.Digest[:], d)
	return nil
}
