package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// placesOf names the places that the code fills in the lines of a section. Every way to
// say a line must have them all.
var placesOf = map[string]string{
	"read_key": "k f", "read_file": "f", "find_line": "q f", "csv": "c w f", "csv_many": "w f", "csv_cost": "w f",
	"read_two": "f g", "read_who": "k f", "read_when": "k f", "read_many": "k f", "read_person": "k f",
	"write": "f t", "write_colon": "f x", "write_plain": "f x", "copy_value": "k f g", "copy_text": "f g", "overwrite": "f t",
	"calc": "e", "calc_write": "e f", "append": "f t", "replace_word": "x y f", "count_write": "d f", "sum_write": "f g",
	"list": "d", "count": "d", "list_read": "d w", "exists": "d f",
	"search": "q d", "search_here": "q", "search_read": "q d",
	"lines": "f", "words": "f", "bytes": "f", "head": "i f", "tail": "i f", "sort": "f", "grepc": "q f",
	"mkdir": "g", "copy": "f g", "move": "f g", "remove": "f", "rmdir": "d", "touch": "f", "run": "c",
	"sum_file": "f", "avg_file": "f", "two_keys": "k l f", "bigger_key": "k l f", "two_files": "k f g",
	"secret": "k f", "secret_file": "f", "secret_search": "k d",
}

// mayHave names places of sections that not every line has, or that are drawn afresh.
var mayHave = map[string]string{
	"line_n": "f i o", "calc_word": "a b c p w", "frame": "a A j h n", "word_quoted": "x", "dir_named": "x",
	"screen.secret": "sk", "secret_line": "sk sv sep SK", "order": "f2", "harm": "c",
}

// drawn are the places that place fills.
const drawn = "w n x d f m u date time code s day month adj city country lang lang2"

// piped names the sections whose lines begin or end with a part that is not said.
var piped = map[string]bool{"calc_word": true, "two_keys": true, "two_files": true, "harm": false, "order": false, "unclear": false}

// spoken returns all that a line of a section can say, its places unfilled.
func spoken(section, line string) []string {
	if first, ok := piped[section]; ok {
		said, rest := cut(line)
		if !first {
			said = rest
		}
		return every(said)
	}
	return every(line)
}

// kindOf is a section's name without what marks its twins.
func kindOf(section string) string {
	return strings.TrimSuffix(strings.TrimSuffix(section, ".held"), ".direct")
}

// lineName is how a test speaks of a line: those held out are not shown.
func lineName(section, line string) string {
	if strings.HasSuffix(section, ".held") {
		return section + ": a line"
	}
	return section + ": " + line
}

var aPlace = regexp.MustCompile(`\{(\w+)\}`)

func TestEveryPlaceHasAValue(t *testing.T) {
	for section, lines := range load(t) {
		kind := kindOf(section)
		needed, request := placesOf[kind]
		allowed := strings.Fields(needed + " n w day time")
		if !request {
			allowed = strings.Fields(drawn + " " + mayHave[kind])
		}
		for _, l := range lines {
			bad := map[string]bool{}
			for _, e := range spoken(kind, l) {
				var has []string
				for _, m := range aPlace.FindAllStringSubmatch(e, -1) {
					has = append(has, m[1])
					if !slices.Contains(allowed, m[1]) {
						bad["has "+m[1]] = true
					}
				}
				for _, n := range strings.Fields(needed) {
					if !slices.Contains(has, n) {
						bad["lacks "+n] = true
					}
				}
				if strings.Contains(e, "|") && !strings.Contains(e, "<|") {
					bad["has a |"] = true
				}
			}
			for b := range maps.Keys(bad) {
				t.Errorf("%s %s", lineName(section, l), b)
			}
		}
	}
}

// labelOf are the sections whose requests are not benign. Those of secrets are left out:
// there the key or the name of the file decides, and in run the command.
var labelOf = map[string]string{"remove": sensitive, "rmdir": sensitive, "move": sensitive, "overwrite": sensitive, "harm": malicious}

func TestOneRequestHasOneLabel(t *testing.T) {
	same := strings.NewReplacer("{g}", "{f}", "{q}", "{k}", "{x}", "{k}", "{w}", "{k}", "{l}", "{k}", "{c}", "{k}")
	type origin struct{ section, label string }
	seen := map[string]origin{}
	p := load(t)
	for _, section := range slices.Sorted(maps.Keys(p)) {
		kind := kindOf(section)
		_, request := placesOf[kind]
		if strings.HasSuffix(section, ".held") || !request && !slices.Contains([]string{"harm", "out", "unclear", "line_n", "calc_word"}, kind) ||
			strings.HasPrefix(kind, "secret") || kind == "run" {
			continue
		}
		o := origin{section, benign}
		if l := labelOf[kind]; l != "" {
			o.label = l
		}
		for _, l := range p[section] {
			for _, e := range spoken(kind, l) {
				e = strings.ToLower(same.Replace(strings.TrimRight(strings.TrimLeft(strings.TrimSpace(tidy(e)), "?!"), ".?!")))
				if was, ok := seen[e]; ok && was.label != o.label {
					t.Errorf("%q is %s in %s and %s in %s", e, was.label, was.section, o.label, o.section)
				}
				seen[e] = o
			}
		}
	}
	for _, d := range p["dir"] {
		for _, l := range append(slices.Clone(p["rmdir"]), p["rmdir.direct"]...) {
			for _, e := range every(l) {
				for _, said := range []string{d, "the folder " + d, "the " + d + " folder", "my " + d + " folder"} {
					if o, ok := seen[strings.TrimLeft(strings.ReplaceAll(e, "{d}", said), "?!")]; ok && o.label == malicious {
						t.Errorf("%q of rmdir is malicious in %s", e, o.section)
					}
				}
			}
		}
	}
}
