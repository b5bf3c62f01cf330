package overlay

import (
	"slices"
	"strings"
)

// setting is one value of a git configuration. Its key is in lower case, without
// the middle part: "core.hookspath", "filter.clean".
type setting struct{ key, value string }

// parseConfig reads a git configuration as git does, but goes on where git would
// complain: what it is for is finding every file that git might be told to use.
func parseConfig(text string) []setting {
	var list []setting
	section := ""
	for text != "" {
		line := ""
		line, text = logicalLine(text)
		line = strings.TrimLeft(line, " \t\r\ufeff")
		if rest, ok := strings.CutPrefix(line, "["); ok {
			section, line = sectionName(rest)
			line = strings.TrimLeft(line, " \t")
		}
		key, value, ok := strings.Cut(line, "=")
		if key = strings.ToLower(strings.TrimSpace(key)); !ok || key == "" || strings.ContainsAny(key, "#;") {
			continue
		}
		list = append(list, setting{section + "." + key, unquote(value)})
	}
	return list
}

// logicalLine takes one line off a text, with those that a backslash continues.
func logicalLine(text string) (line, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && strings.HasPrefix(text[i+1:], "\n"):
			i++
		case c == '\\' && strings.HasPrefix(text[i+1:], "\r\n"):
			i += 2
		case c == '\\' && i+1 < len(text):
			b.WriteString(text[i : i+2])
			i++
		case c == '\n':
			return b.String(), text[i+1:]
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

// sectionName parses what follows a "[": the section without its subsection.
func sectionName(s string) (name, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ']' && !quoted:
			name, _, _ = strings.Cut(strings.TrimSpace(s[:i]), " ")
			name, _, _ = strings.Cut(name, "\t")
			name, _, _ = strings.Cut(name, ".")
			return strings.ToLower(name), s[i+1:]
		}
	}
	return "", ""
}

// unquote undoes quotes, escapes and comments of a value.
func unquote(s string) string {
	var b strings.Builder
	quoted := false
	s = strings.TrimSpace(s)
loop:
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'b':
			default:
				b.WriteByte(s[i])
			}
		case (c == '#' || c == ';') && !quoted:
			break loop
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

// dataSections are parts of a configuration whose values name no file that git
// executes or reads settings from.
var dataSections = []string{"branch", "remote", "user", "author", "committer", "color", "push", "pull", "fetch", "extensions",
	"rerere", "status", "log", "advice", "url", "submodule"}

// files returns what a setting may name of a workspace: the path to a file or
// folder, or the words of a command that may be paths. A command's first word
// without a slash is looked for among programs, not in the workspace.
func (s setting) files() []string {
	section, _, _ := strings.Cut(s.key, ".")
	shell := strings.HasPrefix(s.value, "!")
	switch {
	case (slices.Contains(dataSections, section) || section == "alias") && !shell && !strings.HasSuffix(s.key, "pack"):
		return nil
	case s.key == "core.worktree": // sources, of which nothing acts for that
		return nil
	case s.onePath():
		return []string{s.value}
	}
	words := strings.FieldsFunc(s.value, func(r rune) bool { return strings.ContainsRune(" \t\n!;|&<>()$`'\"=", r) })
	if len(words) > 0 && !strings.Contains(words[0], "/") {
		words = words[1:]
	}
	if !strings.ContainsAny(s.value, "$`") {
		return words
	}
	for _, w := range slices.Clone(words) { // what a shell puts before a slash may be the workspace
		for i, c := range w {
			if c == '/' {
				words = append(words, w[i+1:])
			}
		}
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// includes reports whether a setting names another configuration to read.
func (s setting) includes() bool { return s.key == "include.path" || s.key == "includeif.path" }

// onePath reports whether the whole value is one path.
func (s setting) onePath() bool {
	return s.includes() || strings.HasSuffix(s.key, "path") || strings.HasSuffix(s.key, "file")
}
