package inference_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// benchModel writes a random model of a real shape: 2048 wide, 8 layers, 32 heads, 8 KV heads.
func benchModel(t testing.TB, kind ggufgen.Kind) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench.gguf")
	spec := ggufgen.Spec{Width: 2048, Layers: 8, Heads: 32, KVHeads: 8, FFN: 5632, Vocab: 32000, Context: 8192, Kind: kind}
	if err := ggufgen.New(spec).WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// benchThreads is HOLDFAST_BENCH_THREADS, or all processors. On a machine with other work, fewer give steadier figures.
func benchThreads() int {
	if n, err := strconv.Atoi(os.Getenv("HOLDFAST_BENCH_THREADS")); err == nil && n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// speeds are tokens a second, and the work they were measured on: prompt tokens read behind depth others, then out tokens.
type speeds struct {
	prompt, generate float64
	depth, n, out    int
}

// ours measures a session: a prompt of about n tokens after about depth tokens, then out tokens, sampled and recorded.
func ours(t testing.TB, e *inference.Engine, depth, n, out int) speeds {
	t.Helper()
	s, err := e.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := func(n int) string { return strings.Repeat("x ", n/2) }
	var msgs []agent.Message
	if depth > 0 {
		msgs = append(msgs, user(text(depth)))
		generate(t, s, agent.Request{Purpose: agent.PurposeAgent, Messages: msgs, MaxTokens: 1})
	}
	msgs = append(msgs, user(text(n)))
	rec := generate(t, s, agent.Request{Purpose: agent.PurposeAgent, Messages: msgs, MaxTokens: out, Temp: 1, Seed: 1}).Tokens
	evaluated := len(rec.Output) - 1 // the last token is sampled but not evaluated
	return speeds{
		prompt: float64(rec.Evaluated) / rec.Prefill.Seconds(), generate: float64(evaluated) / rec.Generate.Seconds(),
		depth: rec.Cached, n: rec.Evaluated, out: evaluated,
	}
}

// theirs measures llama-bench of the same build on the same work with the same settings: as many prompt tokens behind as
// many others, and as many generated tokens behind both. Like for like matters: 266 tokens run a fifth slower than 256,
// because the kernels work in blocks, and attention costs what lies before.
func theirs(t testing.TB, model string, w speeds, flash bool) speeds {
	t.Helper()
	return speeds{
		prompt:   llamaBench(t, model, w.n, 0, w.depth, flash),
		generate: llamaBench(t, model, 0, w.out, w.depth+w.n, flash),
	}
}

// llamaBench returns the tokens a second of one test of llama-bench: n prompt tokens or out generated ones.
func llamaBench(t testing.TB, model string, n, out, depth int, flash bool) float64 {
	t.Helper()
	exe := filepath.Join("..", "third_party", "llama.cpp", "build", "cmake", "bin", "llama-bench")
	if _, err := os.Stat(exe); err != nil {
		t.Skip("llama-bench is not built: run third_party/llama.cpp/build.sh tools")
	}
	fa := map[bool]string{true: "on", false: "off"}[flash]
	cmd := exec.Command(exe, "-m", model, "-p", strconv.Itoa(n), "-n", strconv.Itoa(out), "-d", strconv.Itoa(depth),
		"-t", strconv.Itoa(benchThreads()), "-fa", fa, "-r", "1", "-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("llama-bench: %v\n%s", err, stderr.String())
	}
	var rows []struct {
		Speed float64 `json:"avg_ts"`
	}
	if err := json.Unmarshal(b, &rows); err != nil || len(rows) != 1 {
		t.Fatalf("llama-bench printed %d rows, %v", len(rows), err)
	}
	return rows[0].Speed
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// TestAgainstLlamaBench prints prompt and generation speed through a session beside llama-bench of the same source, runs
// interleaved, medians of five. It runs when HOLDFAST_BENCH is set, to 1 or to the number of runs.
func TestAgainstLlamaBench(t *testing.T) {
	runs, _ := strconv.Atoi(os.Getenv("HOLDFAST_BENCH"))
	if runs <= 0 {
		t.Skip("a benchmark of minutes: set HOLDFAST_BENCH=1")
	}
	if runs == 1 {
		runs = 5
	}
	const n, out = 256, 48
	for name, kind := range map[string]ggufgen.Kind{"Q4_K": ggufgen.Q4_K, "Q4_0": ggufgen.Q4_0} {
		model := benchModel(t, kind)
		e, err := inference.Open(t.Context(), model, inference.Options{Threads: benchThreads(), Context: 4096, ForkRoom: 256})
		if err != nil {
			t.Fatal(err)
		}
		ours(t, e, 0, 16, 2) // the weights are read from the disk once
		for _, depth := range []int{0, 2048} {
			var us, them [2][]float64
			for range runs {
				a := ours(t, e, depth, n, out)
				b := theirs(t, model, a, false)
				us[0], us[1] = append(us[0], a.prompt), append(us[1], a.generate)
				them[0], them[1] = append(them[0], b.prompt), append(them[1], b.generate)
			}
			for i, what := range []string{"prompt", "generate"} {
				a, b := median(us[i]), median(them[i])
				fmt.Printf("%s depth %4d %-8s session %7.1f llama-bench %7.1f tokens/s ratio %.3f\n", name, depth, what, a, b, a/b)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkGenerate measures generation through a session on a small wide model.
func BenchmarkGenerate(b *testing.B) {
	e := open(b, ggufgen.Spec{Width: 1024, Layers: 4, Heads: 16, Kind: ggufgen.Q4_0, Vocab: 32000}, inference.Options{Threads: benchThreads()})
	for name, grammar := range map[string]string{"Free": "", "Constrained": `root ::= "{\"text\":\"" [a-z ]* "\"}"`} {
		b.Run(name, func(b *testing.B) {
			s := start(b, e)
			tokens, seconds := 0, 0.0
			for b.Loop() {
				rec := generate(b, s, agent.Request{Purpose: agent.PurposeReview, Messages: []agent.Message{user("Hello")},
					Grammar: grammar, MaxTokens: 64, Temp: 1, Seed: 1}).Tokens
				tokens += len(rec.Output)
				seconds += rec.Generate.Seconds()
			}
			b.ReportMetric(float64(tokens)/seconds, "tokens/s")
		})
	}
}

// BenchmarkRender measures what a request costs before anything is evaluated.
func BenchmarkRender(b *testing.B) {
	e := open(b, ggufgen.Spec{}, inference.Options{})
	msgs := []agent.Message{system("You are an agent.")}
	for range 20 {
		msgs = append(msgs, user(strings.Repeat("Some text of a tool. ", 50)), agent.Message{Role: agent.Assistant, Text: "Go on."})
	}
	r := request(1, append(msgs, user("Now?"))...)
	for b.Loop() {
		if _, err := inference.Tokens(e, r); err != nil {
			b.Fatal(err)
		}
	}
}
