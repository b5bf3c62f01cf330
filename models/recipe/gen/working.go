package main

import (
	"fmt"
	"strings"
)

// Working out in the open. A model of this size sees with one look whether two words
// are the same, but not whether a word is anywhere in a list, how many there are, or
// which comes third. So the texts that lead to an answer walk along the data: keys, rows
// and names one after the other, up to the one that is wanted, numbered where number
// matters. Each step is then a copy and one comparison.

// head is what a walk names a line by: its key with what leads it, as it stands in the
// file. It is "" for a line without a key.
func (r record) head(line string) string {
	if h := r.heads[line]; h != "" {
		return h
	}
	at := -1
	for _, sep := range []string{": ", " = ", "="} {
		if i := strings.Index(line, sep); i > 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at < 0 || strings.ContainsAny(line[:1], "#[=/{") || len(strings.Fields(line[:at])) > 4 {
		return ""
	}
	return line[:at]
}

// walk goes through the shown lines of a response: the heads of lines that are not
// wanted, the wanted lines in full, up to the last wanted one. found says how many of
// the wanted keys it met.
func (r record) walk(text string, keys ...string) (seen []string, found int) {
	for _, l := range shown(text) {
		l = strings.TrimSuffix(strings.TrimSpace(l), ",")
		wanted := false
		for _, k := range keys {
			wanted = wanted || r.lines[k] != "" && l == r.lines[k]
		}
		if wanted {
			seen = append(seen, l)
			if found++; found == len(keys) {
				return seen, found
			}
		} else if h := r.head(l); h != "" {
			seen = append(seen, h)
		}
	}
	return seen, found
}

// has tells what a walk met in a file.
func has(f string, seen []string) string { return f + " has " + strings.Join(seen, ", ") }

// hasNo tells that a file lacks what a walk looked for.
func hasNo(f string, seen []string, what string) string {
	if len(seen) == 0 {
		return fmt.Sprintf("%s has no %s.", f, what)
	}
	return fmt.Sprintf("%s; it has no %s.", has(f, seen), what)
}

// walkRows goes through the rows of a table up to the one of an item, and in it up to
// column c. found is false when no row is the item's.
func (t table) walkRows(text, item string, c int) (seen []string, found bool) {
	rows := map[string][]string{}
	for _, r := range t.rows {
		rows[strings.Join(r, ",")] = r
	}
	for _, l := range shown(text) {
		row := rows[strings.TrimSpace(l)]
		switch {
		case row == nil:
		case row[0] == item:
			var cells []string
			for i := 1; i <= c; i++ {
				cells = append(cells, t.columns[i]+" "+row[i])
			}
			return append(seen, item+": "+strings.Join(cells, ", ")), true
		default:
			seen = append(seen, row[0])
		}
	}
	return seen, false
}

// numbered puts a number before each of some names.
func numbered(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%d) %s", i+1, n)
	}
	return strings.Join(out, ", ")
}

// upTo returns the names up to the wanted one, all of them if it is not there.
func upTo(names []string, want string) []string {
	for i, n := range names {
		if n == want {
			return names[:i+1]
		}
	}
	return names
}

// holds tells what a folder holds.
func holds(dir string, names []string) string {
	if len(names) == 0 {
		return folderName(dir) + " is empty."
	}
	return folderName(dir) + " holds " + strings.Join(names, ", ") + "."
}

// entries are the names in the response of list_files.
func entries(text string) []string {
	if text == "(empty)" {
		return nil
	}
	return shown(text)
}

// onlyFiles drops the folders among entries.
func onlyFiles(names []string) []string {
	var files []string
	for _, n := range names {
		if !strings.HasSuffix(n, "/") {
			files = append(files, n)
		}
	}
	return files
}

// counted tells how many files a folder holds, by counting them out.
func counted(dir string, files []string) string {
	return fmt.Sprintf("%s holds %s: %d file%s.", folderName(dir), numbered(files), len(files), plural(len(files)))
}

// walkLines goes through lines by their first words up to line i, which it quotes.
func walkLines(lines []string, i int) string {
	seen := make([]string, 0, i+1)
	for _, l := range lines[:i] {
		first, _, _ := strings.Cut(l, " ")
		seen = append(seen, first)
	}
	return numbered(append(seen, lines[i]))
}
