package inference

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

// Sampling narrows what is drawn from when the temperature is above zero. The zero value narrows nothing.
type Sampling struct {
	TopK int     // keep the K most likely tokens; 0 keeps all
	TopP float64 // keep the most likely tokens that hold this mass together; 0 keeps all
	MinP float64 // drop tokens less likely than this share of the most likely one
}

func (s Sampling) validate() error {
	if s.TopK < 0 || s.TopP < 0 || s.TopP > 1 || s.MinP < 0 || s.MinP > 1 ||
		math.IsNaN(s.TopP) || math.IsNaN(s.MinP) {
		return fmt.Errorf("sampling %+v is out of range", s)
	}
	return nil
}

// negligible is the share of the most likely token, in natural log after temperature, below which a token is never
// drawn: together such tokens hold less than a millionth of the mass of any real vocabulary. Under a constraint, which
// costs time for every candidate, the line is drawn at unlikely: six millionths of the most likely token each.
const (
	negligible = 26
	unlikely   = 12
)

var errNoNumbers = errors.New("the model's scores are not numbers")

// choice is a sampled token with its probabilities.
type choice struct {
	id      llama.Token
	raw     float32 // log-probability at temperature 1 over the vocabulary
	sampled float32 // log-probability under the distribution drawn from
	logSum  float32 // natural log of the sum of exp(logit)
}

// sampler draws tokens. It belongs to one generation.
type sampler struct {
	narrow Sampling
	temp   float64
	rng    *rand.Rand
	banned []llama.Token

	ids     []llama.Token // scratch
	ok      []bool
	weights []float32
}

func newSampler(narrow Sampling, temp float64, seed uint64, banned []llama.Token) *sampler {
	return &sampler{narrow: narrow, temp: temp, rng: rand.New(rand.NewPCG(seed, 0x686f6c6466617374)), banned: banned}
}

// allower says which tokens may come next; nil allows all.
type allower interface {
	Allows(ids []llama.Token, ok []bool) error
}

// sample draws from logits, which it may change.
func (s *sampler) sample(logits []float32, g allower) (choice, error) {
	for _, id := range s.banned {
		logits[id] = float32(math.Inf(-1))
	}
	st := llama.LogitStats(logits, 1)
	if st.Argmax < 0 || math.IsNaN(float64(st.LogSum)) || math.IsInf(float64(st.LogSum), 0) {
		return choice{}, errNoNumbers
	}
	var (
		c   choice
		err error
	)
	if s.temp <= 0 {
		c, err = s.greedy(logits, st, g)
	} else {
		c, err = s.draw(logits, st, g)
	}
	c.raw = min(0, logits[c.id]-st.LogSum)
	c.logSum = st.LogSum
	return c, err
}

// greedy takes the most likely allowed token, the lowest id among equals. The constraint is asked about one token
// first, then about ever more of the most likely ones.
func (s *sampler) greedy(logits []float32, st llama.Stats, g allower) (choice, error) {
	if g == nil {
		return choice{id: st.Argmax}, nil
	}
	for round := range greedyRounds {
		floor := st.Max - 6*float32(round)
		if round == greedyRounds-1 {
			floor = float32(math.Inf(-1))
		}
		s.ids = llama.LogitsAbove(s.ids, logits, floor)
		if err := s.mask(g); err != nil {
			return choice{}, err
		}
		best := llama.Token(-1)
		for i, id := range s.ids {
			if s.ok[i] && !math.IsInf(float64(logits[id]), -1) && (best < 0 || logits[id] > logits[best]) {
				best = id
			}
		}
		if best >= 0 {
			return choice{id: best}, nil
		}
	}
	return choice{}, errDeadEnd
}

// greedyRounds is how often a greedy choice asks the constraint at most; the last time about every token.
const greedyRounds = 6

var errDeadEnd = errors.New("the constraint allows no token")

func (s *sampler) mask(g allower) error {
	if cap(s.ok) < len(s.ids) {
		s.ok = make([]bool, len(s.ids))
	}
	s.ok = s.ok[:len(s.ids)]
	return g.Allows(s.ids, s.ok)
}

// draw samples: narrow, then constrain, then renormalise. When the constraint leaves nothing of the narrowed set, the
// whole vocabulary is constrained first and narrowed after.
func (s *sampler) draw(logits []float32, st llama.Stats, g allower) (choice, error) {
	reach := negligible
	if g != nil {
		reach = unlikely
	}
	s.ids = llama.LogitsAbove(s.ids, logits, st.Max-float32(float64(reach)*s.temp))
	s.cut(logits)
	if g == nil {
		return s.pick(logits), nil
	}
	if err := s.mask(g); err != nil {
		return choice{}, err
	}
	if !s.keep() {
		s.ids = llama.LogitsAbove(s.ids, logits, float32(-math.MaxFloat32))
		if err := s.mask(g); err != nil {
			return choice{}, err
		}
		if !s.keep() {
			return choice{}, errDeadEnd
		}
		s.cut(logits)
	}
	return s.pick(logits), nil
}

// keep drops the candidates that are not ok and reports whether any is left.
func (s *sampler) keep() bool {
	n := 0
	for i, id := range s.ids {
		if s.ok[i] {
			s.ids[n] = id
			n++
		}
	}
	s.ids = s.ids[:n]
	return n > 0
}

// cut narrows the candidates by rank and mass at temperature 1, most likely first.
func (s *sampler) cut(logits []float32) {
	n := s.narrow
	if n == (Sampling{}) {
		return
	}
	sort.Slice(s.ids, func(i, j int) bool {
		a, b := logits[s.ids[i]], logits[s.ids[j]]
		return a > b || a == b && s.ids[i] < s.ids[j]
	})
	if n.TopK > 0 && len(s.ids) > n.TopK {
		s.ids = s.ids[:n.TopK]
	}
	top := float64(logits[s.ids[0]])
	total := 0.0
	for _, id := range s.ids {
		total += math.Exp(float64(logits[id]) - top)
	}
	mass := 0.0
	for i, id := range s.ids {
		p := math.Exp(float64(logits[id]) - top)
		if i > 0 && (n.TopP > 0 && mass >= n.TopP*total || p < n.MinP) {
			s.ids = s.ids[:i]
			return
		}
		mass += p
	}
}

// pick draws one candidate at the temperature.
func (s *sampler) pick(logits []float32) choice {
	s.weights = llama.Weights(s.weights, logits, s.ids, 1/s.temp)
	total := 0.0
	for _, w := range s.weights {
		total += float64(w)
	}
	at, i := s.rng.Float64()*total, 0
	for ; i < len(s.ids)-1 && at >= float64(s.weights[i]); i++ {
		at -= float64(s.weights[i])
	}
	return choice{id: s.ids[i], sampled: float32(math.Log(float64(s.weights[i]) / total))}
}
