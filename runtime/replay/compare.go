package replay

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// field is one thing about an event that must be the same.
type field struct{ name, value string }

// Append implements loop.Recorder: it compares the event with the recorded one at its
// place. An error ends the run.
func (f *performance) Append(ctx context.Context, e agent.Event) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	f.mark(e)
	if f.nextEvent >= len(f.p.events) {
		return 0, errEnded
	}
	was := f.p.events[f.nextEvent]
	f.nextEvent++
	if d := f.differs(was, e); d != nil && f.report.First == nil {
		f.note(*d)
	}
	if f.report.First != nil && f.mode != ModelOnly {
		return 0, errDiverged
	}
	f.report.Events++
	switch e.Body.(type) {
	case *agent.Judged, *agent.Decided:
		f.report.Decisions++
	}
	return was.Seq, nil // positions are those of the record, so references agree
}

// mark learns the mark of a frame from the message that holds it.
func (f *performance) mark(e agent.Event) {
	b, ok := e.Body.(*agent.Said)
	if !ok || f.nextEvent >= len(f.p.events) {
		return
	}
	was, ok := f.p.events[f.nextEvent].Body.(*agent.Said)
	if !ok {
		return
	}
	now, then := frameMark.FindStringSubmatch(b.Text.String()), frameMark.FindStringSubmatch(was.Text.String())
	if now != nil && then != nil && now[1] != then[1] {
		f.marks[now[1]] = then[1]
	}
}

func (f *performance) differs(was, now agent.Event) *Divergence {
	if was.Body.Kind() != now.Body.Kind() {
		return &Divergence{Seq: was.Seq, Kind: was.Body.Kind(), Recorded: was.Body.Kind(), Replayed: now.Body.Kind()}
	}
	a, b := f.fields(was), f.fields(now)
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] == b[i] {
			continue
		}
		d := &Divergence{Seq: was.Seq, Kind: was.Body.Kind()}
		if i < len(b) {
			d.Field, d.Replayed = b[i].name, quote(b[i].value)
		}
		if i < len(a) {
			d.Field, d.Recorded = a[i].name, quote(a[i].value)
		}
		return d
	}
	return nil
}

// fields lists what must be the same of an event, the telling things first.
func (f *performance) fields(e agent.Event) []field {
	return append([]field{of("step", e.Step)}, f.bodyFields(e.Body)...)
}

func of(name string, value any) field { return field{name, fmt.Sprint(value)} }

func (f *performance) text(name string, b *agent.Blob) field {
	return field{name, f.remark(b.String())}
}

func (f *performance) bodyFields(body agent.Body) []field {
	switch b := body.(type) {
	case *agent.RunStart:
		return []field{f.text("task", b.Task), of("seed", b.Seed), of("frames", b.Frames)}
	case *agent.RunEnd:
		return []field{of("status", b.Status), f.text("answer", b.Answer), of("calls", b.Calls), of("denials", b.Denials)}
	case *agent.Said:
		return []field{of("role", b.Role), f.text("text", b.Text), of("origin", b.Origin)}
	case *agent.GenStart:
		return []field{of("purpose", b.Purpose), of("seed", b.Seed), of("temp", b.Temp), f.text("grammar", b.Schema)}
	case *agent.GenEnd:
		return f.tokens(b)
	case *agent.Turned:
		v := []field{of("parse", b.Parse), f.text("calls", b.Calls), f.text("answer", b.Answer)}
		if f.mode == Strict {
			v = append(v, f.text("thought", b.Thought))
		}
		return v
	case *agent.Labelled:
		return []field{of("channel", b.Channel), of("label", b.Value)}
	case *agent.Authorised:
		return []field{of("tools", slices.Sorted(slices.Values(b.Tools)))}
	case *agent.Tainted:
		return []field{of("taint", b.Value)}
	case *agent.Judged:
		v := []field{of("outcome", b.Outcome), of("label", b.Label), of("code", b.Code)}
		for _, k := range b.Votes {
			v = append(v, field{"vote", k.Rule + " " + k.Outcome.String()})
		}
		return v
	case *agent.Asked:
		return []field{of("about", b.About)}
	case *agent.Answered:
		return []field{of("choice", b.Choice)}
	case *agent.Decided:
		return []field{of("tool", b.Tool), f.text("call", b.Call), of("outcome", b.Outcome), of("by", b.By), of("grant", b.Grant)}
	case *agent.CallEnd:
		return []field{of("status", b.Status), of("code", b.Code)}
	case *agent.LimitHit:
		return []field{of("which", b.Which)}
	}
	return nil
}

// tokens are compared where every token must be the same. Other modes compare what was
// said with them, in the events that follow.
func (f *performance) tokens(b *agent.GenEnd) []field {
	if f.mode != Strict {
		return nil
	}
	return []field{{"prompt", tokenText(b.Prompt)}, {"ids", tokenText(b.IDs)}, {"finish", string(b.Finish)},
		{"raw", hexText(b.Raw)}, {"sampled", hexText(b.Sampled)}, {"forced", hexText(b.Forced)}}
}

func tokenText(b *agent.Blob) string { return fmt.Sprint(ints(b)) }

func hexText(b *agent.Blob) string {
	if b == nil {
		return ""
	}
	return fmt.Sprintf("%x", b.Data)
}

// tokensOf writes a token record as the loop records it.
func tokensOf(k agent.TokenRecord) *agent.GenEnd {
	b := &agent.GenEnd{}
	list := func(v []int32) *agent.Blob {
		out := &agent.Blob{Media: "x-i32le", Data: []byte{}}
		for _, x := range v {
			out.Data = binary.LittleEndian.AppendUint32(out.Data, uint32(x))
		}
		return out
	}
	reals := func(v []float32) *agent.Blob {
		out := &agent.Blob{Media: "x-f32le", Data: []byte{}}
		for _, x := range v {
			out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(x))
		}
		return out
	}
	b.Prompt, b.IDs, b.Raw, b.Sampled = list(k.Prompt), list(k.Output), reals(k.Raw), reals(k.Sampled)
	return b
}

// quote shows a value on one line, around its middle if it is long.
func quote(s string) string {
	if r := []rune(s); len(r) > 160 {
		s = string(r[:80]) + "…" + string(r[len(r)-80:])
	}
	return strconv.Quote(s)
}
