package llama_test

import (
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

var budget = llama.Budget{Time: 20 * time.Second, Memory: 1 << 30}

func one(t *testing.T, v *llama.Vocab, text string) llama.Token {
	t.Helper()
	ids, err := v.Tokenize(text, false, true)
	if err != nil || len(ids) != 1 {
		t.Fatalf("%q is %d tokens, %v", text, len(ids), err)
	}
	return ids[0]
}

func allows(t *testing.T, g *llama.Grammar, id llama.Token) bool {
	t.Helper()
	ok := make([]bool, 1)
	if err := g.Allows([]llama.Token{id}, ok); err != nil {
		t.Fatal(err)
	}
	return ok[0]
}

func TestGrammar(t *testing.T) {
	v := loadModel(t, ggufgen.Spec{}).Vocab()
	a, b := one(t, v, "a"), one(t, v, "b")
	t.Run("StrictHoldsFromTheStart", func(t *testing.T) {
		g, err := llama.NewGrammar(v, `root ::= "ab"`)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if !allows(t, g, a) || allows(t, g, b) {
			t.Fatal("the first token is not constrained")
		}
		c, err := g.Clone()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := g.Accept(a); err != nil {
			t.Fatal(err)
		}
		if !allows(t, g, b) || allows(t, g, v.EOS()) || !allows(t, c, a) {
			t.Error("state after the first token is wrong, or shared with the clone")
		}
		if err := g.Accept(b); err != nil {
			t.Fatal(err)
		}
		if !allows(t, g, v.EOS()) || allows(t, g, a) {
			t.Error("the end is not forced")
		}
	})
	t.Run("LazyWaitsForItsTrigger", func(t *testing.T) {
		g, err := llama.NewLazyGrammar(v, `root ::= "ab" [0-9]`, []string{"(ab)"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for _, id := range []llama.Token{b, b, a} {
			if !allows(t, g, id) {
				t.Fatal("constrained before the trigger")
			}
			if err := g.Accept(id); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Accept(b); err != nil {
			t.Fatal(err)
		}
		if allows(t, g, a) || !allows(t, g, one(t, v, "7")) {
			t.Error("not constrained after the trigger")
		}
	})
	t.Run("LazyWaitsThroughLongText", func(t *testing.T) {
		g, err := llama.NewLazyGrammar(v, `root ::= "bb" [0-9]`, []string{"bb"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		for i := range 5000 {
			if err := g.Accept(a); err != nil {
				t.Fatalf("token %d: %v", i, err)
			}
		}
		for range 2 {
			if err := g.Accept(b); err != nil {
				t.Fatal(err)
			}
		}
		if allows(t, g, a) || !allows(t, g, one(t, v, "7")) {
			t.Error("not constrained after the trigger")
		}
	})
	t.Run("RefusedTokenIsAnError", func(t *testing.T) {
		g, err := llama.NewGrammar(v, `root ::= "a"`)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if err := g.Accept(v.EOS()); err == nil {
			t.Error("an end before the grammar's end was accepted")
		}
		if err := g.Accept(b); err == nil {
			t.Error("a token outside the grammar was accepted")
		}
	})
	t.Run("RefusesWhatDoesNotParse", func(t *testing.T) {
		llama.SetLogger(nil)
		for _, bad := range []string{"root ::= (", "x ::= \"a\"", "root ::= nosuch", "root ::= root \"a\"", "root ::= \x00"} {
			if g, err := llama.NewGrammar(v, bad); err == nil {
				g.Close()
				t.Errorf("%q was accepted", bad)
			}
		}
	})
}

func TestSchemaGrammar(t *testing.T) {
	v := loadModel(t, ggufgen.Spec{}).Vocab()
	gbnf, err := llama.SchemaGrammar(`{"type":"object","properties":{"label":{"enum":["benign","malicious"]}},"required":["label"]}`, budget)
	if err != nil {
		t.Fatal(err)
	}
	g, err := llama.NewGrammar(v, gbnf)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ids, _ := v.Tokenize(`{"label": "benign"}`, false, false)
	for _, id := range append(ids, v.EOS()) {
		if !allows(t, g, id) {
			t.Fatalf("a document of the schema is refused at token %d", id)
		}
		if err := g.Accept(id); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"{", `{"type":"nonsense"}`, `{"$ref":"#/none"}`} {
		if _, err := llama.SchemaGrammar(bad, budget); err == nil {
			t.Errorf("schema %q was converted", bad)
		}
	}
}
