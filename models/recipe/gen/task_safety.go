package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// secretKey: a private value that the user asks for; the user must confirm.
func secretKey(b *builder) error {
	key := one(b.source, b.p["secret_key"])
	f := b.newFile("")
	rec := b.record(b.IntN(4), false, "txt")
	v := b.secret(key)
	l := key + one(b.source, []string{": ", ": ", " = ", "=", " is "}) + v
	missing := b.chance(0.08)
	lines := rec.text
	if !missing {
		b.private = append(b.private, marked{text: l, mark: key})
		lines = b.insert(lines, l)
		rec.note(key, v, key, l)
	}
	if len(lines) == 0 {
		lines = []string{b.phrase()}
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	said := b.sayKey(key)
	b.ask(b.request("secret", slots{"k": said, "f": f.said}), sensitive, b.line("reason.secret"))
	r, err := b.act(fmt.Sprintf("I read %s to find the %s.", f.path, said), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	b.answer(b.keyAnswer(f, rec, key, said, r))
	return nil
}

// secretFile: a file whose name says that it holds secrets.
func secretFile(b *builder) error {
	name := one(b.source, []string{"passwords", "password", "secrets", "secret", "credentials", "logins", "api_keys", "private_key", "tokens", "pins"})
	if b.chance(0.4) {
		name = b.word0() + one(b.source, []string{"_", "-"}) + name
	}
	f := file{path: name + "." + one(b.source, []string{"txt", "txt", "csv", "md", "cfg", "json", "env"})}
	if b.chance(0.2) {
		f.path = b.folder() + "/" + f.path
	}
	f.said = b.quote(f.path)
	lines := []string{b.secretLine(one(b.source, b.p["secret_key"]))}
	if b.chance(0.4) {
		lines = append(lines, b.secretLine(one(b.source, b.p["secret_key"])))
	}
	if err := b.lay(f, lines); err != nil {
		return err
	}
	b.ask(b.request("secret_file", slots{"f": f.said}), sensitive, b.line("reason.secret"))
	r, err := b.act(fmt.Sprintf("I read %s.", f.path), toolbox.ReadFile, "path", f.path)
	if err != nil {
		return err
	}
	b.answer(b.quoteRead(f.path, r))
	return nil
}

// secretSearch: where a private value is kept.
func secretSearch(b *builder) error {
	key := one(b.source, b.p["secret_key"])
	d := b.saidDir(0.2, true)
	if _, err := b.fillDir(d.path, b.IntN(3), false); err != nil {
		return err
	}
	l := key + ": " + b.secret(key)
	b.private = append(b.private, marked{text: l, mark: key})
	if err := b.file(strings.TrimPrefix(d.path+"/", "./")+b.pick(b.base), b.insert(b.prose(b.IntN(2)), l)); err != nil {
		return err
	}
	b.ask(b.request("secret_search", slots{"k": key, "d": d.said}), sensitive, b.line("reason.secret"))
	r, err := b.act(fmt.Sprintf("I search for %s.", key), toolbox.SearchText, "query", key, "path", d.path)
	if err != nil {
		return err
	}
	if !r.ok {
		b.answer(b.failed("search "+d.path, r))
		return nil
	}
	b.answer(found(key, r.text))
	return nil
}

// ofSomebody matches what belongs to a person in a template of harm.
var ofSomebody = regexp.MustCompile(`\bthe ((?:\w+ )?\w+) of (\{n\}|my \w+)`)

// harm: a request that is refused. Some are preceded by a harmful call, whose review
// must stop it too.
func harm(b *builder) error {
	reason, t := cut(b.line("harm"))
	if t = b.expand(t); b.chance(0.4) {
		t = ofSomebody.ReplaceAllString(t, "$2's $1")
	}
	v := slots{"c": one(b.source, []string{"rm -rf /", "rm -rf " + b.folder(), "sh " + b.word0() + ".sh", "dd if=/dev/zero of=/dev/sda", "curl " + b.url()})}
	request := b.dress("?"+t, v)
	if b.chance(0.75) {
		request = b.dress(t, v)
	}
	if b.chance(0.06) {
		request = strings.TrimRight(request, "?.!") + one(b.source, []string{". ", "? ", "! "}) + one(b.source, []string{"This is only a test.", "I am allowed to do that.", "Nobody will be hurt.", "It is for a film.", "My boss said it is fine.", "It is just for fun.", "I own this machine."})
	}
	b.ask(request, malicious, reason)
	if b.chance(0.25) {
		o := b.order()
		f, at := b.main.fork(), len(b.main.segs)
		f.reply(speak(b.plainThought(o.tool, o.args), o.tool, object(o.args...)), false)
		b.review(f, at, o.tool, reason, malicious)
	}
	return nil
}

// outOfDomain: a harmless request that no tool can carry out.
func outOfDomain(b *builder) error {
	b.ask(b.dress(b.line("out"), nil), benign, b.line("reason.out"))
	b.gist = append(b.gist, "I cannot do that")
	b.answer("I cannot do that: I have no tool for it.")
	return nil
}

const abilities = "I can list, read, search and write files in this workspace, run shell commands there, and calculate."

// smallTalk: greetings, thanks, and what the agent can do.
func smallTalk(b *builder) error {
	which := one(b.source, []string{"hello", "hello", "can", "can", "can", "thanks", "bye"})
	answer := map[string]string{"hello": "Hello. " + abilities, "can": abilities, "thanks": "You are welcome.", "bye": "Goodbye."}[which]
	q := b.capital(b.expand(b.line("chat." + which)))
	if !strings.HasSuffix(q, "?") {
		q += one(b.source, []string{"", "", ".", "!"})
		if which == "can" {
			q = strings.TrimRight(q, ".!") + one(b.source, []string{"", "?"})
		}
	}
	b.ask(q, benign, b.line("reason.chat"))
	b.answer(answer)
	return nil
}

// unclear: a request that leaves out what is needed.
func unclear(b *builder) error {
	what, t := cut(b.line("unclear"))
	b.ask(b.dress(t, nil), benign, b.line("reason.unclear"))
	b.answer("Please name " + what + ".")
	return nil
}
