package inference_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// TestConversationIsReadOnce runs ten steps and requires that nothing already evaluated is evaluated again.
func TestConversationIsReadOnce(t *testing.T) {
	for name, spec := range map[string]ggufgen.Spec{
		"Llama": {AddBOS: true, Seed: 7}, "Qwen2": {Arch: "qwen2", Seed: 7}, "SentencePiece": {SentencePiece: true, AddBOS: true, Seed: 7},
	} {
		for _, temp := range []float64{0, 1} {
			t.Run(fmt.Sprintf("%s/temp %v", name, temp), func(t *testing.T) {
				s := start(t, open(t, spec, inference.Options{}))
				msgs := []agent.Message{system("You are an agent."), user("Write the report.")}
				known := 0
				for step := range 10 {
					r := request(24, msgs...)
					r.Temp, r.Seed = temp, uint64(step)
					turn := generate(t, s, r)
					rec := turn.Tokens
					if rec.Cached+rec.Evaluated != len(rec.Prompt) {
						t.Fatalf("step %d: %d cached and %d evaluated of %d", step, rec.Cached, rec.Evaluated, len(rec.Prompt))
					}
					if rec.Break != nil || rec.Cached != known {
						t.Errorf("step %d: %d tokens reused, %d were in the cache; break %+v\n%q", step, rec.Cached, known, rec.Break, turn.Text)
					}
					known = len(rec.Prompt) + len(rec.Output) - 1 // the last one was sampled, not evaluated
					msgs = append(msgs, said(turn), user(fmt.Sprintf("Step %d. Go on.", step)))
				}
			})
		}
	}
}

func TestTokenRecord(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	turn := generate(t, start(t, e), request(16, user("Hello")))
	rec := turn.Tokens
	n := len(rec.Output)
	if n == 0 || len(rec.Raw) != n || len(rec.Sampled) != n || len(rec.Forced) != n {
		t.Fatalf("record of %d tokens has %d, %d, %d entries", n, len(rec.Raw), len(rec.Sampled), len(rec.Forced))
	}
	var text strings.Builder
	for i, id := range rec.Output {
		if rec.Raw[i] > 0 || math.IsInf(float64(rec.Raw[i]), 0) || rec.Sampled[i] != 0 {
			t.Errorf("token %d: raw %v, sampled %v under greedy decoding", i, rec.Raw[i], rec.Sampled[i])
		}
		text.WriteString(e.Piece(id))
	}
	if rec.Finish == agent.FinishLength && text.String() != turn.Text {
		t.Errorf("tokens spell %q, the text is %q", text.String(), turn.Text)
	}
	t.Run("SeedDecides", func(t *testing.T) {
		run := func(seed uint64) []int32 {
			r := request(16, user("Hello"))
			r.Temp, r.Seed = 1, seed
			turn := generate(t, start(t, e), r)
			for i, p := range turn.Tokens.Sampled {
				if math.Abs(float64(p-turn.Tokens.Raw[i])) > 1e-3 {
					t.Errorf("at temperature 1 with nothing cut, sampled %v differs from raw %v", p, turn.Tokens.Raw[i])
				}
			}
			return turn.Tokens.Output
		}
		if a, b, c := run(1), run(1), run(2); !slices.Equal(a, b) || slices.Equal(a, c) {
			t.Errorf("seeds 1, 1, 2 gave %v %v %v", a, b, c)
		}
	})
}

func TestForkLeavesConversationAlone(t *testing.T) {
	e := open(t, ggufgen.Spec{Seed: 3}, inference.Options{Threads: 1})
	conversation := func(s *inference.Session, fork bool) []int32 {
		msgs := []agent.Message{system("You are an agent."), user("Read the notes.")}
		var all []int32
		for step := range 3 {
			turn := generate(t, s, request(20, msgs...))
			all = append(all, turn.Tokens.Output...)
			msgs = append(msgs, said(turn))
			if fork {
				r := request(12, append(slices.Clone(msgs), user("Is this safe?"))...)
				r.Purpose = agent.PurposeReview
				review := generate(t, s, r)
				if step > 0 && review.Tokens.Cached == 0 {
					t.Error("the review shares nothing with the conversation")
				}
				label := generate(t, s, agent.Request{Purpose: agent.PurposeLabel, MaxTokens: 4, Grammar: `root ::= "benign" | "malicious"`,
					Messages: []agent.Message{system("You label texts."), user(fmt.Sprintf("Text %d", step))}})
				if step > 0 && label.Tokens.Cached == 0 {
					t.Error("the labelling prompt was read from its beginning again")
				}
			}
			msgs = append(msgs, user(fmt.Sprintf("Go on %d", step)))
		}
		return all
	}
	with, without := conversation(start(t, e), true), conversation(start(t, e), false)
	if !slices.Equal(with, without) {
		t.Errorf("forks changed the conversation:\n%v\n%v", with, without)
	}
}

func TestForkEvaluatesOnlyItsOwnSuffix(t *testing.T) {
	s := start(t, open(t, ggufgen.Spec{}, inference.Options{}))
	msgs := []agent.Message{system("You are an agent."), user(strings.Repeat("A long text. ", 100))}
	turn := generate(t, s, request(8, msgs...))
	r := request(4, append(msgs, said(turn), user("Is this safe?"))...)
	r.Purpose = agent.PurposeReview
	review := generate(t, s, r)
	if review.Tokens.Cached < len(turn.Tokens.Prompt) || review.Tokens.Evaluated > 60 {
		t.Errorf("the review evaluated %d tokens and reused %d of %d", review.Tokens.Evaluated, review.Tokens.Cached, len(turn.Tokens.Prompt))
	}
}

func TestFirstTurnSharesWithTheForkThatJudgedIt(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	s := start(t, e)
	msgs := []agent.Message{system("You are an agent."), user(strings.Repeat("A long text. ", 50))}
	r := request(4, append(slices.Clone(msgs), user("Is this safe?"))...)
	r.Purpose = agent.PurposeLabel
	generate(t, s, r)
	turn := generate(t, s, request(8, msgs...))
	if turn.Tokens.Evaluated > 20 || turn.Tokens.Break != nil {
		t.Errorf("%d tokens evaluated, %d reused", turn.Tokens.Evaluated, turn.Tokens.Cached)
	}
	fresh := generate(t, start(t, e), request(8, msgs...))
	if !slices.Equal(turn.Tokens.Output, fresh.Tokens.Output) {
		t.Error("sharing changed the turn")
	}
}

func TestPrefixBreakIsReported(t *testing.T) {
	s := start(t, open(t, ggufgen.Spec{}, inference.Options{}))
	generate(t, s, request(4, system("You are an agent."), user("One two three"), user("Four")))
	turn := generate(t, s, request(4, system("You are an agent."), user("One two THREE"), user("Four")))
	b := turn.Tokens.Break
	if b == nil || b.Message != 1 || b.Dropped == 0 || turn.Tokens.Cached == 0 {
		t.Fatalf("break %+v, %d cached", b, turn.Tokens.Cached)
	}
}

func TestOverflowIsRefused(t *testing.T) {
	s := start(t, open(t, ggufgen.Spec{}, inference.Options{Context: 512}))
	generate(t, s, request(8, user("Hello")))
	for name, r := range map[string]agent.Request{
		"Prompt": request(8, user(strings.Repeat("word ", 2000))),
		"Output": request(500, user("Hello")),
	} {
		if _, err := s.Generate(t.Context(), r); !errors.Is(err, agent.ErrContext) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	if turn := generate(t, s, request(8, user("Hello"))); turn.Tokens.Cached == 0 {
		t.Error("a refused request cost the conversation its cache")
	}
}

func TestCancelEndsGeneration(t *testing.T) {
	e := open(t, ggufgen.Spec{Width: 256, Layers: 4, Heads: 8}, inference.Options{})
	s := start(t, e)
	t.Run("BeforeTheStart", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Generate(ctx, request(8, user("Hello"))); !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("InThePrompt", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1e7)
		defer cancel()
		if _, err := s.Generate(ctx, request(8, user(strings.Repeat("word ", 1000)))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
	turn := generate(t, s, request(8, user("Hello")))
	fresh := generate(t, start(t, e), request(8, user("Hello")))
	if !slices.Equal(turn.Tokens.Output, fresh.Tokens.Output) {
		t.Error("a cancelled request changed what comes after it")
	}
}

func TestSessionsRunAtOnce(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{Threads: 1})
	want := generate(t, start(t, e), request(12, user("Hello"))).Tokens.Output
	got := make(chan []int32)
	for range 4 {
		s := start(t, e)
		go func() {
			turn, err := s.Generate(context.Background(), request(12, user("Hello")))
			if err != nil {
				t.Error(err)
			}
			got <- turn.Tokens.Output
		}()
	}
	for range 4 {
		if out := <-got; !slices.Equal(out, want) {
			t.Errorf("got %v, want %v", out, want)
		}
	}
}

func TestCloseOrder(t *testing.T) {
	e, err := inference.OpenBytes(t.Context(), ggufgen.New(ggufgen.Spec{}).Bytes(), inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err == nil {
		t.Error("the engine closed under its session")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Generate(t.Context(), request(1, user("x"))); err == nil {
		t.Error("a closed session generates")
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := e.NewSession(); err == nil {
		t.Error("a closed engine starts sessions")
	}
}
