package toolbox

import (
	"os"
	"strconv"
	"strings"
)

// The bounds of one search.
const (
	maxHits       = 50
	maxLine       = 200      // characters of a hit's line
	maxSearchFile = 4 << 20  // bytes; larger files are counted, not read
	maxSearchWalk = 100_000  // files and directories visited
	maxDepth      = 64       // of directories
	maxSearchRead = 64 << 20 // bytes read in all
)

// Search finds the lines that contain query, by letter whatever the case, in a
// file or in every file below a directory. A hit is "path:line: text" with the
// line's surrounding blanks removed and at most 200 characters of it. Hits come in
// order of path; after 50 comes "more matches left out". Without a hit the text is
// "no matches". Binary files, links and .git directories are skipped; when files
// were left out for their size or number, a last line says so. ok is false when
// the text is an error.
func Search(root *os.Root, query, under string) (text string, ok bool) {
	rel, ok := inside(under)
	if !ok {
		return errOutside, false
	}
	if strings.TrimSpace(query) == "" {
		return errNoQuery, false
	}
	info, err := root.Stat(rel)
	if err != nil {
		return explain(root, err, errRead), false
	}
	s := &search{root: root, query: strings.ToLower(query)}
	if info.IsDir() {
		s.dir(rel, 0)
	} else {
		s.file(rel)
	}
	return s.text(), true
}

// search is the state of one search.
type search struct {
	root    *os.Root
	query   string // in lower case
	hits    []string
	more    bool // a hit beyond maxHits was seen; the search is over
	skipped int  // files left out for a bound
	visited int
	read    int64
}

// text renders what was found.
func (s *search) text() string {
	lines := s.hits
	if len(lines) == 0 {
		lines = []string{"no matches"}
	}
	if s.more {
		lines = append(lines, "more matches left out")
	}
	if s.skipped > 0 {
		lines = append(lines, "some files were too large or too many to search")
	}
	return strings.Join(lines, "\n")
}

// dir searches the files below a directory. What cannot be opened is not searched.
func (s *search) dir(rel string, depth int) {
	names, err := entries(s.root, rel)
	if err != nil {
		return
	}
	for _, n := range names {
		if s.more {
			return
		}
		if s.visited++; s.visited > maxSearchWalk || depth > maxDepth {
			s.skipped++
			return
		}
		name, isDir := strings.CutSuffix(n, "/")
		if rel != "." {
			name = rel + "/" + name
		}
		switch {
		case isDir && n == ".git/":
		case isDir:
			s.dir(name, depth+1)
		case s.regular(name):
			s.file(name)
		}
	}
}

// regular reports whether a directory entry is a file and no link.
func (s *search) regular(rel string) bool {
	info, err := s.root.Lstat(rel)
	return err == nil && info.Mode().IsRegular()
}

// file searches one file.
func (s *search) file(rel string) {
	f, err := open(s.root, rel)
	if err != nil {
		return
	}
	defer f.Close()
	if s.read > maxSearchRead {
		s.skipped++
		return
	}
	b, why := content(s.root, f, maxSearchFile)
	if why == errTooLarge {
		s.skipped++
	}
	s.read += int64(len(b))
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if !strings.Contains(strings.ToLower(line), s.query) {
			continue
		}
		if len(s.hits) == maxHits {
			s.more = true
			return
		}
		s.hits = append(s.hits, Inert(rel, "")+":"+strconv.Itoa(n)+": "+Inert(clip(line), "\t"))
	}
}

// clip removes the blanks around a line and all but its first characters.
func clip(line string) string {
	line = strings.TrimSpace(line)
	n := 0
	for i := range line {
		if n == maxLine {
			return line[:i]
		}
		n++
	}
	return line
}
