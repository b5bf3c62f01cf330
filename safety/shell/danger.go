package shell

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// The dangers, in the words that a person is shown.
const (
	Removes  = "removes or overwrites files"
	Network  = "reaches the network"
	Runs     = "runs text or files as programs"
	Rights   = "acts as another user or changes who may do what"
	Hidden   = "what it runs only shows when it runs"
	Machine  = "acts on other programs or the machine"
	Unparsed = "cannot be read as a shell line"
)

// byName is the danger that is in a program's name.
var byName = turned(map[string]string{
	Removes: "rm rmdir unlink shred truncate dd mv mkfs wipefs srm",
	Network: "curl wget nc ncat netcat socat ssh scp sftp ftp rsync telnet ping dig nslookup host mail sendmail",
	Runs: "sh bash dash zsh ksh ash eval exec source . xargs env nohup setsid timeout watch parallel python python3 perl ruby node php lua " +
		"awk gawk make busybox command builtin trap alias nice time",
	Rights:  "sudo su doas chmod chown chgrp setfacl passwd useradd usermod visudo pkexec",
	Machine: "kill killall pkill reboot shutdown halt poweroff mount umount crontab at systemctl service insmod modprobe sysctl",
})

// running are options whose value is run, or says what is, whatever program has them; a
// word behind a plus sign is one in editors.
var running = regexp.MustCompile(`^-(c|ex|exec|execdir|ok|okdir)$` +
	`|^--?[a-z-]*(exec|command|cmd|eval|script|program|shell|pager|editor|hook|rsh|action|plugin|config)|^\+[^0-9]`)

// counting are programs whose option -c takes or says something plain.
var counting = turned(map[string]string{"counts": "grep egrep fgrep head tail wc cut sort uniq stat gzip cksum"})

// steering are variables by which a program is made to run or load something else.
var steering = regexp.MustCompile(`^(PATH|IFS|ENV|SHELL|(BASH|LD|DYLD|GIT|PYTHON|PERL|RUBY|NODE|JAVA|LESS|MAN)[A-Z0-9_]*|[A-Z0-9_]*(PAGER|EDITOR|VISUAL|BROWSER|PRELOAD|OPTIONS))$`)

// sedRuns knows commands of sed that run a text or write a file.
var sedRuns = regexp.MustCompile(`(^|[;{}0-9$/,!\s])[ewW](\s|$|;|})|/[a-zA-Z0-9]*[ew][a-zA-Z0-9]*(\s|;|$)`)

// turned maps each name of a list to what the list stands for.
func turned(lists map[string]string) map[string]string {
	m := map[string]string{}
	for k, names := range lists {
		for _, n := range strings.Fields(names) {
			m[n] = k
		}
	}
	return m
}

// Dangers lists the known dangers of a line, in the order they first stand in it. A line
// that cannot be parsed has the danger Unparsed. None found means nothing.
func Dangers(line string) []string {
	commands, err := Parse(line)
	if err != nil {
		return []string{Unparsed}
	}
	var out []string
	add := func(d string) {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	for _, c := range commands {
		if d := byName[path.Base(c.Name)]; c.Name != "" && d != "" {
			add(d)
		}
		if len(c.Words) > 0 && c.Name == "" || c.Nested {
			add(Hidden)
		}
		if strings.Contains(c.Name, "/") || runsWords(c) || slices.ContainsFunc(c.Sets, steering.MatchString) {
			add(Runs)
		}
		if base := path.Base(c.Name); base == "find" && slices.ContainsFunc(c.Words, func(w string) bool {
			return slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, w)
		}) {
			add(Runs)
		} else if base == "find" && slices.Contains(c.Words, "-delete") {
			add(Removes)
		} else if base == "git" && slices.ContainsFunc(c.Words, func(w string) bool {
			return slices.Contains([]string{"push", "fetch", "pull", "clone"}, w)
		}) {
			add(Network)
		}
		for _, w := range c.Writes {
			if w != "/dev/null" {
				add(Removes)
			}
		}
	}
	return out
}

// runsWords reports whether a word of a command is run, or says what is.
func runsWords(c Command) bool {
	name := path.Base(c.Name)
	script := name == "sed" // the next word that is no option is its program
	for _, w := range c.Words {
		option, _, _ := strings.Cut(w, "=")
		switch {
		case running.MatchString(option) && counting[name] == "":
			return true
		case script && !strings.HasPrefix(w, "-"):
			if sedRuns.MatchString(w) {
				return true
			}
			script = false
		}
	}
	return false
}
