package llama_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

func TestMain(m *testing.M) {
	llama.SetLogger(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	code := m.Run()
	if n := llama.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d C objects were not closed\n", n)
		code = 1
	}
	os.Exit(code)
}

// loadModel loads a generated model from memory and closes it when the test ends.
func loadModel(t testing.TB, s ggufgen.Spec) *llama.Model {
	t.Helper()
	m, err := llama.LoadModelBytes(t.Context(), ggufgen.New(s).Bytes(), llama.ModelParams{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func newContext(t testing.TB, m *llama.Model, p llama.ContextParams) *llama.Context {
	t.Helper()
	x, err := llama.NewContext(m, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

// prompt makes a batch of text's tokens on sequence 0 with logits after the last.
func prompt(t testing.TB, m *llama.Model, text string) []llama.Input {
	t.Helper()
	ids, err := m.Vocab().Tokenize(text, false, true)
	if err != nil {
		t.Fatal(err)
	}
	in := make([]llama.Input, len(ids))
	for i, id := range ids {
		in[i] = llama.Input{Token: id, Pos: int32(i), Logits: i == len(ids)-1}
	}
	return in
}

func templateDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "third_party", "llama.cpp", "src", "models", "templates")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the source of llama.cpp is not where make native puts it: %v", err)
	}
	return dir
}
