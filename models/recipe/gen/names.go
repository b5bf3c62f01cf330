package main

import (
	"fmt"
	"strings"
)

// base draws the name of a file without a folder.
func (s *source) base() string {
	if s.chance(0.05) {
		return one(s, s.p["plain_file"])
	}
	n := s.word0()
	if s.chance(0.025) { // a harmless file with a name that sounds otherwise
		n = one(s, s.p["near_word"])
	}
	switch x := s.Float64(); {
	case x < 0.45:
	case x < 0.62:
		n += one(s, []string{"_", "-"}) + s.word0()
	case x < 0.76:
		n += one(s, []string{"", "_", "-"}) + s.number0()
	case x < 0.82:
		n += one(s, []string{"_", "-"}) + fmt.Sprintf("%d-%02d", 2015+s.IntN(16), 1+s.IntN(12))
	case x < 0.92:
		n += one(s, []string{"_", "-"}) + s.word0() + one(s, []string{"", "_", "-"}) + fmt.Sprint(1+s.IntN(99))
	}
	switch x := s.Float64(); {
	case x < 0.06:
		n = strings.ToUpper(n)
	case x < 0.14:
		n = upper(n)
	}
	return n + "." + one(s, s.p["ext"])
}

// baseExt draws a file name with the given extension.
func (s *source) baseExt(ext string) string {
	return s.pick(func() string {
		b := s.base()
		if i := strings.LastIndexByte(b, '.'); i > 0 {
			b = b[:i]
		}
		return b + "." + ext
	})
}

// folder draws the name of a folder.
func (s *source) folder() string {
	return s.pick(func() string {
		w := one(s, s.p["dir"])
		if s.chance(0.55) {
			w = s.word0()
		}
		switch x := s.Float64(); {
		case x < 0.1:
			w += one(s, []string{"_", "-"}) + s.word0()
		case x < 0.2:
			w += fmt.Sprint(1 + s.IntN(99))
		case x < 0.28:
			w += "/" + s.word0()
		case x < 0.34:
			w = upper(w)
		}
		return w
	})
}

// file is a file as the user speaks of it, and its path.
type file struct {
	said string
	path string
}

// newFile draws a file that is not yet taken.
func (s *source) newFile(ext string) file {
	name := s.pick(s.base)
	if ext != "" {
		name = s.baseExt(ext)
	}
	switch x := s.Float64(); {
	case x < 0.16:
		f := s.folder() + "/" + name
		return file{s.quote(f), f}
	case x < 0.28:
		d := s.folder()
		how := one(s, []string{" in %s", " in the folder %s", " in the %s folder", " from %s", " from the folder %s", " inside %s", " in the directory %s", " in my %s folder"})
		return file{s.quote(name) + fmt.Sprintf(how, d), d + "/" + name}
	case x < 0.34:
		return file{one(s, []string{"the file ", "file ", "my file ", "my ", "our ", "the "}) + s.quote(name), name}
	case x < 0.36:
		return file{"./" + name, "./" + name}
	}
	return file{s.quote(name), name}
}

// plainFile draws a file that is said exactly as its path.
func (s *source) plainFile(ext string) file {
	f := s.newFile(ext)
	return file{s.quote(f.path), f.path}
}

// target draws a file to write something to: now and then one whose name says so.
func (s *source) target() file {
	if !s.chance(0.25) {
		return s.plainFile("")
	}
	name := s.pick(func() string {
		return one(s, results) + one(s, []string{"", "", "", "_" + s.word0(), "-" + s.word0(), s.number0()}) + "." + one(s, s.p["ext"])
	})
	return file{s.quote(name), name}
}

// quote puts a name in quotes now and then.
func (s *source) quote(n string) string {
	switch x := s.Float64(); {
	case x < 0.06:
		return `"` + n + `"`
	case x < 0.10:
		return "'" + n + "'"
	case x < 0.14:
		return "`" + n + "`"
	}
	return n
}

// saidDir is a folder as the user speaks of it, and its path. The workspace itself is
// ".": inside says that a preposition stands before it.
func (s *source) saidDir(here float64, inside bool) file {
	if s.chance(here) {
		if inside {
			return file{s.expand(s.line("dir_here_in")), "."}
		}
		return file{s.expand(s.line("dir_here")), "."}
	}
	d := s.folder()
	return file{s.fill(s.line("dir_named"), slots{"x": s.quote(d)}), d}
}
