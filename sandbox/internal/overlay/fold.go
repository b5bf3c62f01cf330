package overlay

import (
	"strings"
	"unicode"
)

// fold maps names that some file systems take for the same one to one text: it
// undoes case, in every script, and drops what does not show.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			return unicode.ToLower(r)
		}
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return unicode.ToLower(least)
	}, name)
}

// plain folds a name and takes off what other systems do not keep: dots and
// spaces at its end, a stream after a colon, and the short name of ".git".
func plain(name string) string {
	s := fold(name)
	if i := strings.IndexByte(s, ':'); i > 0 {
		s = s[:i]
	}
	if t := strings.TrimRight(s, " ."); t != "" {
		s = t
	}
	if s == "git~1" || s == "git~2" {
		return ".git"
	}
	return s
}
