package provenance

import (
	"slices"
	"strings"
)

// null is the file that keeps nothing.
const null = "/dev/null"

// readers only read what they are pointed at, whatever their arguments: none of them
// has an option that writes a file or starts a program.
var readers = set("basename cat cd cmp cut dirname du echo false grep head ls md5sum nl printf pwd " +
	"realpath seq sha256sum stat tail tr true wc")

// careful only read as long as no option or operand says otherwise.
var careful = map[string]func(args []Word) bool{
	"diff": func(args []Word) bool { return flagsOf(args, "BbiqruwNy") },
	"find": finds,
	"git":  gits,
	"sort": sorts,
	"uniq": func(args []Word) bool { return flagsOf(args, "cdiu") && len(operands(args)) <= 1 }, // a second is written
}

// adders create every operand; the value is the letters of the flags they may have.
var adders = map[string]string{"mkdir": "pv", "tee": "", "touch": ""}

// Addition is one path that a command would create or add to.
type Addition struct {
	Path   string // as the command gets it
	Append bool   // keeps what the file held
	Folder bool
}

// Reads reports whether the command is known to do nothing but read.
func (c Command) Reads() bool {
	adds, ok := c.Adds()
	return ok && len(adds) == 0
}

// Adds returns what a command creates or appends to, in no order. ok is false unless
// reading and these additions are all that it is known to do, provided that none of the
// paths that it does not append to exists; it says nothing of which exist.
func (c Command) Adds() (adds []Addition, ok bool) {
	if c.Opaque {
		return nil, false
	}
	// A move into another folder makes paths mean something else, and what git's settings
	// start may read alone.
	alone := false
	for i := 0; i < len(c.Words); {
		n := i + 1
		for n < len(c.Words) && c.Words[n].Part == c.Words[i].Part {
			n++
		}
		more, ok := simpleAdds(c.Words[i:n])
		if !ok {
			return nil, false
		}
		adds = append(adds, more...)
		alone = alone || c.Words[n-1].Verb == "cd" || c.Words[n-1].Verb == "git"
		i = n
	}
	return adds, len(adds) == 0 || !alone
}

// simpleAdds is Adds of one simple command.
func simpleAdds(words []Word) (adds []Addition, ok bool) {
	var args []Word
	for _, w := range words {
		switch {
		case w.Target && w.Text == null:
		case w.Target && w.Loose:
			return nil, false
		case w.Target:
			adds = append(adds, Addition{Path: w.Text, Append: w.Append})
		case !w.Input:
			args = append(args, w)
		}
	}
	if len(args) == 0 { // a redirection alone
		return adds, true
	}
	verb, args := args[0].Text, args[1:]
	if readers[verb] {
		return adds, true
	}
	if reads := careful[verb]; reads != nil {
		return adds, reads(args)
	}
	flags, creates := adders[verb]
	names := operands(args)
	switch {
	case loose(args):
		return nil, false
	case creates && flagsOf(args, flags):
	case verb == "cp" && flagsOf(args, "v") && len(names) == 2:
		names = names[1:]
	default:
		return nil, false
	}
	for _, w := range names {
		adds = append(adds, Addition{Path: w.Text, Folder: verb == "mkdir"})
	}
	return adds, true
}

// flagsOf reports whether every flag among the arguments is of these letters, and no
// pattern can bring in another.
func flagsOf(args []Word, letters string) bool {
	return !loose(args) && !slices.ContainsFunc(args, func(w Word) bool {
		f, flag := strings.CutPrefix(w.Text, "-")
		return flag && (f == "" || strings.Trim(f, letters) != "")
	})
}

func operands(args []Word) []Word {
	var out []Word
	for _, w := range args {
		if !strings.HasPrefix(w.Text, "-") {
			out = append(out, w)
		}
	}
	return out
}

func loose(args []Word) bool {
	return slices.ContainsFunc(args, func(w Word) bool { return w.Loose })
}

// sorts knows the flags of sort that choose an order, a key or a separator.
func sorts(args []Word) bool {
	return !loose(args) && !slices.ContainsFunc(args, func(w Word) bool {
		f, flag := strings.CutPrefix(w.Text, "-")
		switch {
		case !flag:
			return false
		case strings.HasPrefix(f, "k"):
			return strings.Trim(f[1:], "0123456789.,bdfgiMhnRrV") != ""
		case strings.HasPrefix(f, "t"):
			return len(f) > 2
		}
		return f == "" || strings.Trim(f, "bCcdfgiMhnRrsuVz") != ""
	})
}

// Questions to git, and the options of theirs that choose what is shown and how. What its
// settings may start runs where nothing can be written, as all that only reads does.
var (
	gitAsks  = set("blame diff log show status")
	gitFlags = set("-- --all --author --branch --cached --graph --name-only --name-status --no-merges --numstat --oneline --patch " +
		"--porcelain --reverse --short --since --staged --stat --until -b -p -s -sb -w")
)

func gits(args []Word) bool {
	return len(args) > 0 && gitAsks[args[0].Text] && !loose(args) && !slices.ContainsFunc(args, func(w Word) bool {
		name, _, _ := strings.Cut(w.Text, "=")
		return strings.HasPrefix(name, "-") && !gitFlags[name] && name != "-n" && !digits(strings.TrimPrefix(name[1:], "n"))
	})
}

// tests are the conditions of find, none of which acts.
var tests = set("-a -empty -iname -ipath -maxdepth -mindepth -mmin -mtime -name -newer -not -o -path -print -print0 -size -type")

func finds(args []Word) bool {
	return !loose(args) && !slices.ContainsFunc(args, func(w Word) bool {
		return strings.HasPrefix(w.Text, "-") && !tests[w.Text] && !digits(w.Text[1:])
	})
}

// plain do what they say with the operands they are given, and no more.
var plain = set("basename cat cd cmp cp cut df diff dirname du echo false grep head ls md5sum mkdir mv nl " +
	"printf pwd realpath seq sha256sum sort stat tail touch tr true uniq wc")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// idle reports whether the word says nothing about what the command is aimed at: the
// name of a plain command, or a simple flag or count of one.
func (w Word) idle() bool {
	switch {
	case !plain[w.Verb]:
		return false
	case w.Target:
		return w.Text == null
	}
	if w.Verb == "sort" && strings.HasPrefix(w.Text, "-") {
		return sorts([]Word{w})
	}
	return w.Text == w.Verb || simpleFlag(w.Text) || len(w.Text) <= 6 && digits(w.Text)
}

// simpleFlag knows -la, -n5, -20 and --long-name; a flag that carries a value does not
// pass.
func simpleFlag(s string) bool {
	if long, ok := strings.CutPrefix(s, "--"); ok {
		return long != "" && strings.Trim(long, "abcdefghijklmnopqrstuvwxyz-") == ""
	}
	short, ok := strings.CutPrefix(s, "-")
	if !ok || short == "" {
		return false
	}
	letters := strings.TrimRight(short, "0123456789")
	if len(letters) == len(short) {
		return len(letters) <= 3 && alphabetic(letters)
	}
	return len(letters) <= 1 && alphabetic(letters)
}

func alphabetic(s string) bool {
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") == ""
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
