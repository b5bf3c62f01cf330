package bench

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Annotate guesses a first manifest from a tool's name, what is said of it and the schema
// of its arguments: what an operator would start from who has nothing else. The first word
// of the name that is a known verb gives the effect, worsened by what it is done to; a tool
// without one keeps EffectUnknown, the worst. What is said of a tool can only make that
// worse. Arguments get roles by the words of their names.
func Annotate(name, description string, schema json.RawMessage) (agent.Effect, map[string]agent.ArgRole) {
	args := properties(schema)
	e := effectOf(wordsOf(name[strings.LastIndexAny(name, ".:/")+1:]), args)
	if first, _, _ := strings.Cut(strings.TrimSpace(description), " "); first != "" {
		if said := effectOf([]string{verb(first)}, nil); said != agent.EffectUnknown && said.Rank() > e.Rank() {
			e = said
		}
	}
	roles := map[string]agent.ArgRole{}
	for arg, kind := range args {
		roles[arg] = roleOf(arg, kind)
	}
	return e, roles
}

// properties lists the arguments of a schema with their types.
func properties(schema json.RawMessage) map[string]string {
	var s struct {
		Properties map[string]struct {
			Type any `json:"type"`
			Enum []any
		} `json:"properties"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return nil
	}
	out := map[string]string{}
	for name, p := range s.Properties {
		kind, _ := p.Type.(string)
		if len(p.Enum) > 0 {
			kind = "enum"
		}
		out[name] = kind
	}
	return out
}

// wordsOf splits a name into lower-case words: at marks, and where a capital begins one.
func wordsOf(name string) []string {
	var out []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			out = append(out, strings.ToLower(string(word)))
			word = nil
		}
	}
	rs := []rune(name)
	for i, r := range rs {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])):
			flush()
		}
		word = append(word, r)
	}
	flush()
	return out
}

func list(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// The verbs of tool names by what they do.
var (
	reads = list("get list search read view find check show retrieve fetch query lookup look describe count calculate compute " +
		"compare analyze analyse verify validate inspect monitor predict estimate convert translate summarize summarise browse access " +
		"review ask detect identify evaluate assess track preview scan load is has determine solve geocoding reverse")
	writes = list("create add update set edit append write save rename move copy mark insert modify adjust configure organize " +
		"organise store log record draft generate make reschedule archive label tag pin save restore import lock play go put " +
		"upsert sync register enable start stop pause resume turn open close reserve manipulate input click replace swap merge")
	outwards = list("send share post publish email mail reply tweet retweet message invite upload forward submit call notify " +
		"comment navigate download visit request follow unfollow like unlike join leave export broadcast dispatch alert announce " +
		"report contact consult push fill auto react subscribe unsubscribe connect hand schedule")
	finals = list("delete remove cancel unlock transfer pay purchase buy order place sell withdraw deposit book booking grant " +
		"revoke disable erase clear drop terminate execute run exec eval shutdown reset change destroy wipe trade manage control " +
		"handle apply deploy approve reject accept sign block ban kick kill format uninstall install authorize authorise refund overwrite")
)

// guarded are things whose change gives access or takes it away; private are things
// that one reads as a secret.
var (
	guarded = list("password passwords permission permissions privacy policy policies access code codes key keys credential " +
		"credentials role roles security firewall authentication factor token tokens lock door two")
	private = list("password passwords credential credentials secret secrets medical health genetic genome payment payments card " +
		"cards bank saved personal history addresses prescription prescriptions holdings balance token tokens private patient " +
		"diagnosis salary ssn tax accounts identity clinical statement")
	links = list("url urls link links uri website webpage page site host endpoint webhook domain")
)

// turns are words that make another verb of the one before them, as in check out; joins
// begin a second verb.
var (
	turns = list("out off away rid in down over")
	joins = list("and then or")
)

// verb is the plain form of a verb in the third person.
func verb(w string) string {
	w = strings.ToLower(strings.Trim(w, ".,:;!"))
	for _, form := range []string{w, strings.TrimSuffix(w, "s"), strings.TrimSuffix(w, "es")} {
		if known(form) {
			return form
		}
	}
	return w
}

// known reports whether a word is one of the verbs.
func known(w string) bool { return reads[w] || writes[w] || outwards[w] || finals[w] }

// effectOf is the worst of the verbs that a name joins. What is joined and begins with no
// verb is a thing: files and folders.
func effectOf(words []string, args map[string]string) agent.Effect {
	worst := effectOfOne(words, args)
	for i, w := range words {
		if joins[w] && i+1 < len(words) && known(words[i+1]) {
			if e := effectOfOne(words[i+1:], args); e.Rank() > worst.Rank() {
				worst = e
			}
		}
	}
	return worst
}

// effectOfOne is the effect of a name with one verb.
func effectOfOne(words []string, args map[string]string) agent.Effect {
	has := func(set map[string]bool) bool {
		return slices.ContainsFunc(words, func(w string) bool { return set[w] })
	}
	for i, w := range words {
		switch {
		case reads[w] && i+1 < len(words) && turns[words[i+1]]:
			return agent.EffectUnknown
		case finals[w]:
			return agent.Irreversible
		case outwards[w]:
			return agent.Outward
		case writes[w] && has(guarded):
			return agent.Irreversible
		case writes[w]:
			return agent.Write
		case reads[w] && sendsArguments(args):
			return agent.Outward
		case reads[w] && has(private):
			return agent.SensitiveRead
		case reads[w]:
			return agent.Read
		}
	}
	return agent.EffectUnknown
}

// sendsArguments knows reads that carry an argument out of the machine to where another
// argument, an address on the net, says.
func sendsArguments(args map[string]string) bool {
	for arg := range args {
		if slices.ContainsFunc(wordsOf(arg), func(w string) bool { return links[w] }) {
			return true
		}
	}
	return false
}

// The words of argument names by what the argument is.
var (
	targets = list("cc bcc recipient recipients receiver receivers email emails mail address addresses account accounts payee " +
		"iban user users username usernames guest guests participant participants attendee attendees phone url urls link links uri " +
		"host domain domains website endpoint webhook destination channel channels contact contacts friend id ids uid uuid " +
		"recipientid amount quantity path paths file files filename filenames folder folders directory dir destination device " +
		"attachments attachment app service group person people member members")
	// Of these only the last word of a name says so: a data source is no data.
	endings     = list("to target targets resource updates parameters settings data info options payment")
	credentials = list("password passcode secret token apikey credential credentials pin key")
	commands    = list("command commands cmd script shell code sql statement")
	contents    = list("body message messages text content contents subject title description note notes comment comments review " +
		"reason caption summary name question remark feedback details")
)

// roleOf gives an argument the worst role that a word of its name stands for. A switch
// or a choice among fixed words directs nothing by itself.
func roleOf(arg, kind string) agent.ArgRole {
	words := wordsOf(arg)
	has := func(set map[string]bool) bool {
		return slices.ContainsFunc(words, func(w string) bool { return set[w] })
	}
	switch {
	case kind == "boolean" || kind == "enum":
		return agent.RoleSelector
	case has(credentials):
		return agent.RoleCredential
	case has(commands) && kind != "integer" && kind != "number":
		return agent.RoleCommand
	case has(targets), len(words) > 0 && endings[words[len(words)-1]]:
		return agent.RoleTarget
	case has(contents):
		return agent.RoleContent
	}
	return agent.RoleSelector
}
