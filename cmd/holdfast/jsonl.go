package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"reflect"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// jsonEvent is one line of --json: the event as the ledger keeps it, with its blobs
// written out.
func jsonEvent(runID string, e agent.Event) ([]byte, error) {
	body, err := expand(e.Body)
	if err != nil {
		return nil, err
	}
	line := struct {
		Run  string          `json:"run"`
		Seq  int64           `json:"seq"`
		Kind string          `json:"kind"`
		Step int             `json:"step"`
		Ref  int64           `json:"ref,omitempty"`
		Call string          `json:"call,omitempty"`
		At   time.Time       `json:"at"`
		Body json.RawMessage `json:"body"`
	}{Run: runID, Seq: e.Seq, Kind: e.Body.Kind(), Step: e.Step, Ref: e.Ref, At: e.At.UTC(), Body: body}
	if e.Call != ([32]byte{}) {
		line.Call = hex.EncodeToString(e.Call[:])
	}
	return json.Marshal(line)
}

// expand encodes a body with each blob replaced by its content: text as a string, JSON
// as itself, numbers and bits as arrays.
func expand(b agent.Body) (json.RawMessage, error) {
	plain := map[string]any{}
	copied := reflect.New(reflect.TypeOf(b).Elem())
	copied.Elem().Set(reflect.ValueOf(b).Elem())
	nameBlobs(copied.Elem(), plain)
	enc, err := json.Marshal(copied.Interface())
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(enc, &v); err != nil {
		return nil, err
	}
	return json.Marshal(replaceBlobs(v, plain))
}

var blobType = reflect.TypeOf((*agent.Blob)(nil))

// nameBlobs gives every blob below v a digest of its own and notes its content by it.
func nameBlobs(v reflect.Value, plain map[string]any) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == blobType && !v.IsNil() {
			b := *v.Interface().(*agent.Blob)
			b.Digest = sha256.Sum256(append([]byte(b.Media+"\x00"), b.Data...))
			plain[hex.EncodeToString(b.Digest[:])] = content(b)
			v.Set(reflect.ValueOf(&b))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			nameBlobs(v.Field(i), plain)
		}
	case reflect.Slice:
		fresh := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(fresh, v)
		for i := range fresh.Len() {
			nameBlobs(fresh.Index(i), plain)
		}
		if v.CanSet() && !v.IsNil() {
			v.Set(fresh)
		}
	}
}

func replaceBlobs(v any, plain map[string]any) any {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["blob"].(string); ok && len(v) == 1 {
			if c, ok := plain[ref]; ok {
				return c
			}
		}
		for k := range v {
			v[k] = replaceBlobs(v[k], plain)
		}
	case []any:
		for i := range v {
			v[i] = replaceBlobs(v[i], plain)
		}
	}
	return v
}

func content(b agent.Blob) any {
	if b.Data == nil {
		return nil // erased
	}
	switch b.Media {
	case "application/json":
		return json.RawMessage(b.Data)
	case "x-i32le":
		v := make([]int32, len(b.Data)/4)
		for i := range v {
			v[i] = int32(binary.LittleEndian.Uint32(b.Data[4*i:]))
		}
		return v
	case "x-f32le":
		v := make([]any, len(b.Data)/4)
		for i := range v {
			f := float64(math.Float32frombits(binary.LittleEndian.Uint32(b.Data[4*i:])))
			if math.IsInf(f, 0) || math.IsNaN(f) {
				v[i] = nil // JSON has no infinity
			} else {
				v[i] = f
			}
		}
		return v
	case "x-bits":
		v := make([]int, 0, 8*len(b.Data))
		for _, x := range b.Data {
			for i := range 8 {
				v = append(v, int(x>>i&1))
			}
		}
		return v
	}
	return string(b.Data)
}
