package tools

import (
	"path"
	"slices"
	"strings"
)

// curlFiles are the options of curl that take the name of a file to send, behind @ or <, as
// well as a text.
var curlFiles = []string{"-d", "--data", "--data-ascii", "--data-binary", "--data-urlencode", "--json", "--url-query", "-H", "--header",
	"--proxy-header", "-b", "--cookie", "-T", "--upload-file", "-F", "--form"}

// namesFile reports whether a value in argument i may be the name of a file that curl sends.
func (c *Command) namesFile(i int) bool {
	if i == 0 || i >= len(c.Argv) || !slices.ContainsFunc(c.Argv[:i], func(w string) bool { return path.Base(w) == "curl" }) {
		return false
	}
	name := c.Argv[i-1]
	lead, _, _ := strings.Cut(c.Argv[i], "{")
	switch {
	case strings.HasPrefix(lead, "-") && !strings.HasPrefix(lead, "--") && len(lead) > 1: // -dVALUE
		name, lead = lead[:2], lead[2:]
	case option(name) && !strings.HasPrefix(name, "--") && len(name) > 2: // -sSd VALUE
		name = "-" + name[len(name)-1:]
	}
	if !slices.Contains(curlFiles, name) {
		return false
	}
	switch name {
	case "-F", "--form": // name=@file, name=<file
		return !strings.Contains(lead, "=") || strings.ContainsAny(lead[len(lead)-1:], "=@<")
	case "--data-urlencode": // name@file
		return !strings.Contains(lead, "=")
	}
	return lead == "" || strings.HasPrefix(lead, "@")
}
