package replay

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

func ints(b *agent.Blob) []int32 {
	if b == nil {
		return nil
	}
	v := make([]int32, len(b.Data)/4)
	for i := range v {
		v[i] = int32(binary.LittleEndian.Uint32(b.Data[4*i:]))
	}
	return v
}

func floats(b *agent.Blob) []float32 {
	if b == nil {
		return nil
	}
	v := make([]float32, len(b.Data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b.Data[4*i:]))
	}
	return v
}

func bits(b *agent.Blob, n int) []bool {
	v := make([]bool, n)
	for i := range v {
		v[i] = b != nil && i/8 < len(b.Data) && b.Data[i/8]>>(i%8)&1 == 1
	}
	return v
}

// same reports whether two arrays hold the same bytes; nil is the empty one.
func same(a, b *agent.Blob) bool {
	var x, y []byte
	if a != nil {
		x = a.Data
	}
	if b != nil {
		y = b.Data
	}
	return bytes.Equal(x, y)
}

// recorded is the turn that a recorded generation gave.
func (g *gen) recorded() (agent.Turn, error) {
	b := g.end
	ids := ints(b.IDs)
	t := agent.Turn{Text: b.Text.String(), Probs: b.Probs, Parse: agent.ParseClean, Tokens: agent.TokenRecord{
		Prompt: ints(b.Prompt), Output: ids, Raw: floats(b.Raw), Sampled: floats(b.Sampled), Forced: bits(b.Forced, len(ids)),
		Told: b.Told, Cached: b.Cached, Evaluated: b.Evaluated, Finish: b.Finish, Temp: g.start.Temp, Seed: g.start.Seed,
	}}
	if g.turn == nil { // a fork under a grammar: its text is its answer
		if t.Answer = t.Text; b.Finish == agent.FinishLength {
			t.Answer, t.Parse = "", agent.ParseFailed
		}
		return t, nil
	}
	t.Parse, t.Thought, t.Answer = g.turn.Parse, g.turn.Thought.String(), g.turn.Answer.String()
	calls, err := callsOf(g.turn)
	for _, c := range calls {
		t.Calls = append(t.Calls, agent.ToolCall{Tool: c.Tool, Args: c.Args})
	}
	return t, err
}
