package main

import (
	"embed"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sort"
	"strings"
)

//go:embed phrases/*.txt
var phraseFiles embed.FS

// phrases holds the lines of every section of the phrase files by section name.
type phrases map[string][]string

// loadPhrases reads the embedded phrase files. A section starts with "[name]", lines
// that start with "# " are comments, and a section may stand in one file only.
func loadPhrases() (phrases, error) {
	p := phrases{}
	entries, err := phraseFiles.ReadDir("phrases")
	if err != nil {
		return nil, fmt.Errorf("list phrase files: %w", err)
	}
	for _, e := range entries {
		b, err := phraseFiles.ReadFile("phrases/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read phrase file: %w", err)
		}
		if err := p.parse(e.Name(), string(b)); err != nil {
			return nil, err
		}
	}
	for _, name := range wordLists {
		p[name] = strings.Fields(strings.Join(p[name], " "))
		sort.Strings(p[name])
		if name != "ext" { // repetition is the weight of an extension
			p[name] = unique(p[name])
		}
	}
	return p, nil
}

// wordLists names the sections whose entries are words, not lines.
var wordLists = []string{"word", "name", "key", "dir", "ext", "day", "month", "plain_file", "adj", "city", "country", "lang", "lang2", "near_word"}

func (p phrases) parse(file, text string) error {
	section := ""
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || (section == "" && strings.HasPrefix(line, "# ")):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") && isName(line[1:len(line)-1]):
			section = line[1 : len(line)-1]
			if _, twice := p[section]; twice {
				return fmt.Errorf("%s:%d: section %q is repeated", file, i+1, section)
			}
			p[section] = nil
		case section == "":
			return fmt.Errorf("%s:%d: line outside a section", file, i+1)
		default:
			p[section] = append(p[section], line)
		}
	}
	return nil
}

// isName reports whether s can name a section.
func isName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return false
		}
	}
	return s != ""
}

func unique(sorted []string) []string {
	out := sorted[:0]
	for i, s := range sorted {
		if i == 0 || s != sorted[i-1] {
			out = append(out, s)
		}
	}
	return out
}

// The splits. Train has train values and train phrasing, slots held-out values, and
// phr held-out values with held-out phrasing.
const (
	splitTrain = "train"
	splitSlots = "slots"
	splitPhr   = "phr"
)

// held reports whether a slot value is kept out of training, by its hash: one in eight.
func held(v string) bool {
	h := fnv.New32a()
	h.Write([]byte(v))
	return h.Sum32()%8 == 3
}

// source draws everything random of one document. It is used by one goroutine.
type source struct {
	*rand.Rand
	p     phrases
	split string
}

func newSource(p phrases, split string, seed, index uint64) *source {
	h := fnv.New64a()
	h.Write([]byte(split))
	return &source{Rand: rand.New(rand.NewPCG(seed^h.Sum64(), index*0x9E3779B97F4A7C15+1)), p: p, split: split}
}

// chance reports true with probability x.
func (s *source) chance(x float64) bool { return s.Float64() < x }

// one draws one of the given values.
func one[T any](s *source, of []T) T { return of[s.IntN(len(of))] }

// digit reports whether v is one digit. That is a letter of the numbers rather than a
// value: a model that was never shown a 4 by itself cannot be asked to work with one.
func digit(v string) bool { return len(v) == 1 && v[0] >= '0' && v[0] <= '9' }

// pick draws values until one belongs to the split. A digit belongs to all; in those of which
// one value in eight is drawn it is taken as often, so that it has no larger share there.
func (s *source) pick(draw func() string) string {
	for {
		v := draw()
		switch {
		case s.split == splitTrain && (digit(v) || !held(v)):
			return v
		case s.split != splitTrain && digit(v) && s.IntN(8) == 0:
			return v
		case s.split != splitTrain && !digit(v) && held(v):
			return v
		}
	}
}

// line draws a line of a section, now and then of its ".direct" twin with the plainest
// ones; the phr split draws from its ".held" twin where there is one.
func (s *source) line(section string) string {
	if s.split == splitPhr {
		if l := s.p[section+".held"]; len(l) > 0 {
			return one(s, l)
		}
	} else if l := s.p[section+".direct"]; len(l) > 0 && s.chance(0.3) {
		return one(s, l)
	}
	l := s.p[section]
	if len(l) == 0 {
		panic("internal error: no phrases " + section)
	}
	return one(s, l)
}

var (
	onsets = strings.Fields("b c d f g h j k l m n p r s t v w z br ch cl dr fl gr pl pr sh st th tr kr sn")
	vowels = strings.Fields("a e i o u ai ea oo ou y")
	codas  = []string{"", "", "", "n", "r", "s", "t", "l", "m", "ck", "nd", "x", "rt"}
)

// pseudo draws a word that no list holds.
func (s *source) pseudo() string {
	if s.chance(0.08) {
		b := make([]byte, 2+s.IntN(6))
		for i := range b {
			b[i] = byte('a' + s.IntN(26))
		}
		return string(b)
	}
	var b strings.Builder
	for range one(s, []int{1, 2, 2, 2, 3, 3}) {
		b.WriteString(one(s, onsets) + one(s, vowels) + one(s, codas))
	}
	return b.String()
}

// word0 draws a word of either split.
func (s *source) word0() string {
	if s.chance(0.45) {
		return s.pseudo()
	}
	w := one(s, s.p["word"])
	if s.chance(0.14) && !strings.HasSuffix(w, "s") && w[len(w)-1] < 0x80 {
		w += "s"
	}
	return w
}

// number0 draws a number of 1 to 5 digits, small ones more often.
func (s *source) number0() string {
	top := 1
	for range 1 + s.IntN(5) {
		top *= 10
	}
	return fmt.Sprint(s.IntN(top))
}

func (s *source) number() string { return s.pick(s.number0) }

// integer draws a number for arithmetic.
func (s *source) integer(top int) string {
	return s.pick(func() string { return fmt.Sprint(1 + s.IntN(top)) })
}

func (s *source) decimal() string {
	return s.pick(func() string { return fmt.Sprintf("%d.%d", s.IntN(200), 1+s.IntN(99)) })
}

func (s *source) date() string {
	return s.pick(func() string {
		return fmt.Sprintf("%d-%02d-%02d", 2015+s.IntN(16), 1+s.IntN(12), 1+s.IntN(28))
	})
}

func (s *source) clock() string { return fmt.Sprintf("%02d:%02d", s.IntN(24), s.IntN(60)) }

func (s *source) mail() string {
	return s.pick(func() string {
		who := one(s, []string{s.word0(), strings.ToLower(one(s, s.p["name"])), s.word0() + "." + s.word0()})
		return who + "@" + s.word0() + one(s, []string{".com", ".org", ".net", ".io", ".example"})
	})
}

func (s *source) url() string {
	return s.pick(func() string {
		return one(s, []string{"http://", "https://"}) + s.word0() + one(s, []string{".com/", ".net/", ".io/", ".org/"}) + s.word0()
	})
}

func (s *source) person() string {
	if s.chance(0.7) {
		return one(s, s.p["name"])
	}
	p := s.pseudo()
	return upper(p)
}

// value draws what may stand behind a key.
func (s *source) value() string {
	switch x := s.Float64(); {
	case x < 0.34:
		return s.number()
	case x < 0.42:
		return s.decimal()
	case x < 0.58:
		return s.pick(s.word0)
	case x < 0.68:
		return s.pick(func() string { p := s.pseudo(); return s.person() + " " + upper(p) })
	case x < 0.76:
		return s.date()
	case x < 0.80:
		return s.clock()
	case x < 0.84:
		return s.mail()
	case x < 0.88:
		return s.pick(func() string {
			return string([]byte{byte('A' + s.IntN(26)), byte('A' + s.IntN(26)), '-'}) + s.number0()
		})
	}
	return s.pick(s.longValue)
}

// longValue draws a value of more than one token of meaning: a version, a sum of money,
// a measure, a switch, two or three words.
func (s *source) longValue() string {
	switch s.IntN(8) {
	case 0:
		return fmt.Sprintf("%d.%d.%d", s.IntN(12), s.IntN(30), s.IntN(30))
	case 1:
		return one(s, []string{"$", "€", ""}) + fmt.Sprintf("%d.%02d", s.IntN(500), s.IntN(100))
	case 2:
		return s.number0() + one(s, []string{" ", ""}) + one(s, strings.Fields("kg g km m cm ml MB GB ms s min % C eur usd"))
	case 3:
		return one(s, strings.Fields("true false yes no on off none open closed high low"))
	case 4:
		return one(s, s.p["adj"]) + " " + s.word0()
	case 5:
		return s.word0() + " " + s.word0() + " " + s.word0()
	}
	return s.word0() + " " + s.word0()
}

// measured are names that a question may mean otherwise: "the size of a.txt" is not the
// value of a key, "the total in a.txt" may be a sum.
var measured = strings.Fields("size total sum mean count word line length file value field")

// sums are keys that a request which names them could be taken to ask for working out. In
// "the total in a.txt" it is the key: nothing is said of numbers to be added.
var sums = strings.Fields("total sum mean average subtotal grand_total total_cost total_price")

// results are what people call the files that they have something written to.
var results = strings.Fields("result results summary total totals sum report output answer note notes copy value number")

// key draws a key of a record.
func (s *source) key() string {
	for {
		if k := s.column(); !contains(measured, strings.TrimSuffix(k, "s")) {
			return k
		}
	}
}

// column draws a name of a column.
func (s *source) column() string {
	switch x := s.Float64(); {
	case x < 0.27:
		return s.pick(s.word0)
	case x < 0.33:
		return s.pick(func() string { return s.word0() + one(s, []string{"_", " "}) + s.word0() })
	}
	return one(s, s.p["key"])
}

const symbols = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// secret draws the value of a private key.
func (s *source) secret(key string) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('0' + s.IntN(10))
		}
		return string(b)
	}
	return s.pick(func() string {
		switch k := strings.ToLower(key); {
		case strings.Contains(k, "pin") || strings.Contains(k, "code"):
			return digits(4 + s.IntN(3))
		case strings.Contains(k, "card"):
			return digits(4) + " " + digits(4) + " " + digits(4)
		case k == "iban" || k == "bank account":
			return "DE" + digits(14)
		case strings.Contains(k, "security"):
			return digits(3) + "-" + digits(2) + "-" + digits(4)
		case k == "salary":
			return digits(5)
		case k == "diagnosis":
			return one(s, []string{"asthma", "migraine", "diabetes", "anemia", "burnout"}) + " " + s.word0()
		case s.chance(0.4):
			return s.word0() + digits(1+s.IntN(4))
		}
		b := make([]byte, 6+s.IntN(10))
		for i := range b {
			b[i] = symbols[s.IntN(len(symbols))]
		}
		return one(s, []string{"", "", "sk-", "tok_", "key-"}) + string(b)
	})
}
