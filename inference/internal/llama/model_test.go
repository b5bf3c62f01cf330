package llama_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

func TestLoadModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := ggufgen.New(ggufgen.Spec{}).WriteFile(path); err != nil {
		t.Fatal(err)
	}
	t.Run("FromPathReportsProgress", func(t *testing.T) {
		var last float32
		m, err := llama.LoadModel(t.Context(), path, llama.ModelParams{Progress: func(p float32) bool { last = p; return true }})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if last != 1 {
			t.Errorf("progress ended at %v", last)
		}
		if name, ok := m.Meta("general.name"); !ok || name != "random llama" {
			t.Errorf("general.name = %q, %v", name, ok)
		}
		if _, ok := m.Meta("no.such.key"); ok {
			t.Error("found a key that is not there")
		}
		if m.Layers() != 2 || m.TrainContext() != 4096 || !m.HasDecoder() || m.Recurrent() {
			t.Errorf("shape: %d layers, context %d", m.Layers(), m.TrainContext())
		}
	})
	t.Run("EndsWhenProgressRefuses", func(t *testing.T) {
		_, err := llama.LoadModel(t.Context(), path, llama.ModelParams{Progress: func(float32) bool { return false }})
		if err == nil {
			t.Fatal("loaded")
		}
	})
	t.Run("EndsWithContext", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := llama.LoadModel(ctx, path, llama.ModelParams{Progress: func(float32) bool { cancel(); return true }})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("err = %v", err)
		}
	})
	t.Run("SurvivesPanickingProgress", func(t *testing.T) {
		if _, err := llama.LoadModel(t.Context(), path, llama.ModelParams{Progress: func(float32) bool { panic("x") }}); err == nil {
			t.Fatal("loaded")
		}
	})
	t.Run("RefusesTruncatedFile", func(t *testing.T) {
		llama.SetLogger(nil)
		image, _ := os.ReadFile(path)
		if _, err := llama.LoadModelBytes(t.Context(), image[:len(image)/2], llama.ModelParams{}); err == nil {
			t.Fatal("loaded half a model")
		}
	})
	t.Run("CloseTwice", func(t *testing.T) {
		m, err := llama.LoadModel(t.Context(), path, llama.ModelParams{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestVocab(t *testing.T) {
	v := loadModel(t, ggufgen.Spec{}).Vocab()
	const text = "Hello <|im_start|> wörld\n"
	for _, special := range []bool{true, false} {
		ids, err := v.Tokenize(text, false, special)
		if err != nil {
			t.Fatal(err)
		}
		var back strings.Builder
		controls := 0
		for _, id := range ids {
			s, err := v.Piece(id, true)
			if err != nil {
				t.Fatal(err)
			}
			back.WriteString(s)
			if v.Attr(id)&llama.AttrControl != 0 {
				controls++
			}
		}
		if back.String() != text {
			t.Errorf("special=%v: round trip gave %q", special, back.String())
		}
		if want := map[bool]int{true: 1, false: 0}[special]; controls != want {
			t.Errorf("special=%v: %d control tokens", special, controls)
		}
	}
	if _, err := v.Piece(int32(v.Len()), true); err == nil {
		t.Error("a token outside the vocabulary has a piece")
	}
	if !v.EndsGeneration(v.EOS()) || v.EndsGeneration(0) {
		t.Error("end of generation is wrong")
	}
}

// TestLongTextIsTokenised cuts words longer than what a thread's stack holds where the
// pre-tokenizer recurses for each character.
func TestLongTextIsTokenised(t *testing.T) {
	for _, pre := range []string{"deepseek-coder", "gpt-4o", "qwen2"} {
		v := loadModel(t, ggufgen.Spec{Pre: pre}).Vocab()
		for _, text := range []string{strings.Repeat("a", 200_000), strings.Repeat("é", 100_000), strings.Repeat("=", 200_000)} {
			ids, err := v.Tokenize(text, false, false)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, id := range ids {
				s, err := v.Piece(id, true)
				if err != nil {
					t.Fatal(err)
				}
				n += len(s)
			}
			if n != len(text) {
				t.Errorf("%s: %d bytes of %q are %d bytes of tokens", pre, len(text), text[:2], n)
			}
		}
		if _, err := v.Tokenize(strings.Repeat("a", 9<<20), false, false); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: 9 MiB of text: %v", pre, err)
		}
	}
}

// tolerance is how far logits may differ between batch shapes: the kernels sum in another order.
const tolerance = 0.02

func TestDecode(t *testing.T) {
	for _, arch := range []string{"llama", "qwen2"} {
		m := loadModel(t, ggufgen.Spec{Arch: arch, AddBOS: arch == "llama"})
		x := newContext(t, m, llama.ContextParams{Tokens: 512, Sequences: 2, Unified: true, Threads: 1})
		in := prompt(t, m, "The agent reads the file")
		if err := x.Decode(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		whole, err := x.Logits(-1)
		if err != nil {
			t.Fatal(err)
		}
		first := slices.Clone(whole)
		t.Run(arch+"/RollbackGivesSameLogits", func(t *testing.T) {
			last := in[len(in)-1]
			if !x.RemoveSeq(0, last.Pos, -1) || x.LastPos(0) != last.Pos-1 {
				t.Fatal("the last position was not removed")
			}
			if err := x.Decode(t.Context(), []llama.Input{last}); err != nil {
				t.Fatal(err)
			}
			again, _ := x.Logits(-1)
			if d := distance(first, again); d > tolerance {
				t.Errorf("logits differ by %v", d)
			}
		})
		t.Run(arch+"/CopiedSequenceContinues", func(t *testing.T) {
			last := in[len(in)-1]
			x.CopySeq(0, 1, -1, last.Pos)
			last.Seq = 1
			if err := x.Decode(t.Context(), []llama.Input{last}); err != nil {
				t.Fatal(err)
			}
			again, _ := x.Logits(-1)
			if d := distance(first, again); d > tolerance {
				t.Errorf("logits differ by %v", d)
			}
			x.RemoveSeq(1, -1, -1)
			if x.LastPos(1) != -1 || x.LastPos(0) < 0 {
				t.Error("removing the copy did not leave the original alone")
			}
		})
		t.Run(arch+"/RefusesWhatWasNotAskedFor", func(t *testing.T) {
			if _, err := x.Logits(7); !errors.Is(err, llama.ErrNoLogits) {
				t.Errorf("err = %v", err)
			}
			if err := x.Decode(t.Context(), nil); err == nil {
				t.Error("an empty batch was decoded")
			}
		})
	}
}

func TestDecodeReportsFullCache(t *testing.T) {
	m := loadModel(t, ggufgen.Spec{})
	x := newContext(t, m, llama.ContextParams{Tokens: 256, Batch: 512})
	in := prompt(t, m, strings.Repeat("a", 300))
	if err := x.Decode(t.Context(), in); err == nil {
		t.Fatal("a batch larger than the cache was decoded")
	}
	if err := x.Decode(t.Context(), in[:x.BatchSize()]); err != nil {
		t.Fatal(err)
	}
	llama.SetLogger(nil)
	if err := x.Decode(t.Context(), in[x.BatchSize():x.BatchSize()+1]); !errors.Is(err, llama.ErrNoSlot) {
		t.Fatalf("a token more than the cache holds: %v", err)
	}
	if n := x.LastPos(0); n != int32(x.BatchSize())-1 {
		t.Errorf("the cache changed: last position %d", n)
	}
}

func TestDecodeStopsWithContext(t *testing.T) {
	m := loadModel(t, ggufgen.Spec{Width: 256, Layers: 4, Heads: 8})
	x := newContext(t, m, llama.ContextParams{Tokens: 4096, Batch: 4096})
	in := prompt(t, m, strings.Repeat("b", 4000))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // the whole batch takes far longer
	defer cancel()
	if err := x.Decode(ctx, in); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("err = %v", err)
	}
	if n := x.LastPos(0); n >= int32(len(in))-1 {
		t.Errorf("the whole batch was evaluated (position %d)", n)
	}
	x.Clear()
	if err := x.Decode(t.Context(), in[:1]); err != nil {
		t.Errorf("the context is unusable after an abort: %v", err)
	}
}

// TestWideModelDecodes runs models wide enough for the matrix kernels that small ones never reach. Without our patch
// the process dies here with SIGILL on a CPU with AMX when built by GCC 12.
func TestWideModelDecodes(t *testing.T) {
	if !llama.HasAMX() {
		t.Skip("this CPU or build has no AMX")
	}
	for name, kind := range map[string]ggufgen.Kind{"Q4_0": ggufgen.Q4_0, "Q8_0": ggufgen.Q8_0, "Q4_K": ggufgen.Q4_K} {
		t.Run(name, func(t *testing.T) {
			m := loadModel(t, ggufgen.Spec{Width: 1024, Layers: 1, Heads: 16, Vocab: 1024, Kind: kind})
			x := newContext(t, m, llama.ContextParams{Tokens: 256})
			if err := x.Decode(t.Context(), prompt(t, m, strings.Repeat("The agent reads the file. ", 8))); err != nil {
				t.Fatal(err)
			}
			logits, err := x.Logits(-1)
			if err != nil {
				t.Fatal(err)
			}
			s := llama.LogitStats(logits, 1)
			if s.Argmax < 0 || math.IsNaN(float64(s.LogSum)) {
				t.Errorf("logits are not numbers: %+v", s)
			}
		})
	}
}

func TestLogitStats(t *testing.T) {
	x := []float32{-3, 2, 2, -100, 0.5, float32(math.Inf(-1))}
	for _, scale := range []float32{1, 0.5, 4} {
		s := llama.LogitStats(x, scale)
		var sum float64
		for _, v := range x {
			sum += math.Exp(float64(v) * float64(scale))
		}
		if math.Abs(float64(s.LogSum)-math.Log(sum)) > 1e-5 || s.Max != 2 || s.Argmax != 1 {
			t.Errorf("scale %v: %+v, want %v", scale, s, math.Log(sum))
		}
	}
	if got := llama.LogitsAbove(nil, x, 0); !slices.Equal(got, []llama.Token{1, 2, 4}) {
		t.Errorf("above 0: %v", got)
	}
	if s := llama.LogitStats([]float32{float32(math.NaN())}, 1); s.Argmax != -1 {
		t.Errorf("NaN has an argmax: %+v", s)
	}
}

// TestLogitsInVectors holds the passes over whole vectors, and over what is left of them, to a sum in double.
func TestLogitsInVectors(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 100, 4099} {
		x, ids := make([]float32, n), []llama.Token(nil)
		for i := range x {
			x[i] = float32(40*math.Sin(float64(i)*1.7) - 5)
			if i%7 == 3 {
				x[i] = float32(math.Inf(-1))
			} else if i%3 == 0 {
				ids = append(ids, llama.Token(i))
			}
		}
		for _, scale := range []float64{1, 0.3, 5, math.MaxFloat64} {
			top, best, sum := math.Inf(-1), -1, 0.0
			for i, v := range x {
				if float64(v) > top {
					top, best = float64(v), i
				}
			}
			for _, v := range x {
				sum += math.Exp((float64(v) - top) * min(scale, math.MaxFloat32))
			}
			s := llama.LogitStats(x, float32(min(scale, 100)))
			if want := top*scale + math.Log(sum); scale < 100 && math.Abs(float64(s.LogSum)-want) > 1e-5*math.Abs(want)+1e-5 {
				t.Errorf("%d scores, scale %g: sum %v, want %v", n, scale, s.LogSum, want)
			}
			if int(s.Argmax) != best || float64(s.Max) != top {
				t.Errorf("%d scores: %+v, want %v at %d", n, s, top, best)
			}
			top = math.Inf(-1)
			for _, id := range ids {
				top = max(top, float64(x[id]))
			}
			w := llama.Weights(nil, x, ids, scale)
			for i, id := range ids {
				arg := (float64(x[id]) - top) * min(scale, math.MaxFloat32)
				want := math.Exp(arg)
				near := want * (1e-6 - arg/(1<<22)) // the exponent itself is rounded to 24 bits
				if !(math.Abs(float64(w[i])-want) <= near+1e-37) {
					t.Fatalf("%d scores, scale %g: weight of %d is %v, want %v", n, scale, id, w[i], want)
				}
			}
		}
		x[n/2] = float32(math.NaN())
		if s := llama.LogitStats(x, 1); s.Argmax >= 0 && !math.IsNaN(float64(s.LogSum)) {
			t.Errorf("%d scores with one that is no number: %+v", n, s)
		}
	}
	if w := llama.Weights(nil, []float32{1}, nil, 1); len(w) != 0 {
		t.Errorf("weights of nothing: %v", w)
	}
}

func distance(a, b []float32) float64 {
	d := 0.0
	for i := range a {
		d = max(d, math.Abs(float64(a[i]-b[i])))
	}
	return d
}
