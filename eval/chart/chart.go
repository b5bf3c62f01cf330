// Package chart writes a report as one HTML page that needs nothing else: tables, and
// plots as inline SVG, without scripts and without anything fetched.
//
// Every text it is given is escaped. It performs no output but to the writer it is given.
// A Page is used by one goroutine.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Page is a report that grows by its methods, in order. The zero Page has no title.
type Page struct {
	Title string
	Lead  string // one paragraph below the title
	body  strings.Builder
}

// Text adds a paragraph.
func (p *Page) Text(text string) {
	fmt.Fprintf(&p.body, "<p>%s</p>\n", html.EscapeString(text))
}

// Pre adds a text that is shown as it is, blanks and line breaks kept.
func (p *Page) Pre(title, text string) {
	fmt.Fprintf(&p.body, "<h2>%s</h2>\n<pre>%s</pre>\n", html.EscapeString(title), html.EscapeString(text))
}

// Table adds a table. A cell that is one of met, missed and not measured is coloured.
func (p *Page) Table(title string, head []string, rows [][]string) {
	fmt.Fprintf(&p.body, "<h2>%s</h2>\n<table><tr>", html.EscapeString(title))
	for _, h := range head {
		fmt.Fprintf(&p.body, "<th>%s</th>", html.EscapeString(h))
	}
	p.body.WriteString("</tr>\n")
	for _, row := range rows {
		p.body.WriteString("<tr>")
		for _, c := range row {
			class := ""
			switch c {
			case "met", "missed":
				class = ` class="` + c + `"`
			}
			fmt.Fprintf(&p.body, "<td%s>%s</td>", class, html.EscapeString(c))
		}
		p.body.WriteString("</tr>\n")
	}
	p.body.WriteString("</table>\n")
}

// Bar is one bar: a share between 0 and 1, with what stands beside it.
type Bar struct {
	Label string
	Share float64
	Note  string
	Mark  float64 // a target between 0 and 1, 0 for none
}

// The sizes of plots, in units of SVG.
const (
	barHeight = 18
	barLeft   = 330
	barWidth  = 420
	plotSize  = 320
	margin    = 44
)

// Bars adds a plot of horizontal bars.
func (p *Page) Bars(title string, bars []Bar) {
	height := len(bars)*(barHeight+8) + 10
	fmt.Fprintf(&p.body, "<h2>%s</h2>\n<svg role=\"img\" viewBox=\"0 0 960 %d\" width=\"960\" height=\"%d\">\n", html.EscapeString(title), height, height)
	for i, b := range bars {
		y := 5 + i*(barHeight+8)
		w := barWidth * clamp(b.Share)
		fmt.Fprintf(&p.body, `<text x="%d" y="%d" text-anchor="end">%s</text>`, barLeft-8, y+13, html.EscapeString(b.Label))
		fmt.Fprintf(&p.body, `<rect class="back" x="%d" y="%d" width="%d" height="%d"/>`, barLeft, y, barWidth, barHeight)
		fmt.Fprintf(&p.body, `<rect class="bar" x="%d" y="%d" width="%.1f" height="%d"/>`, barLeft, y, w, barHeight)
		if b.Mark > 0 {
			x := barLeft + barWidth*clamp(b.Mark)
			fmt.Fprintf(&p.body, `<line class="mark" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, x, y-2, x, y+barHeight+2)
		}
		fmt.Fprintf(&p.body, "<text x=\"%d\" y=\"%d\">%s</text>\n", barLeft+barWidth+8, y+13, html.EscapeString(b.Note))
	}
	p.body.WriteString("</svg>\n")
}

// Bin is one bin of a reliability plot: how sure a model was on average, and what share
// of so many samples was right.
type Bin struct {
	Sure, Right float64
	N           int
}

// Reliability adds a plot of what was right over how sure a model was. On the diagonal a
// model is as right as it is sure; the area of a point grows with its samples.
func (p *Page) Reliability(title string, bins []Bin) {
	size := plotSize + 2*margin
	fmt.Fprintf(&p.body, "<h2>%s</h2>\n<svg role=\"img\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", html.EscapeString(title), size, size, size, size)
	fmt.Fprintf(&p.body, `<rect class="back" x="%d" y="%d" width="%d" height="%d"/>`, margin, margin, plotSize, plotSize)
	fmt.Fprintf(&p.body, `<line class="mark" x1="%d" y1="%d" x2="%d" y2="%d"/>`, margin, margin+plotSize, margin+plotSize, margin)
	for i := 0; i <= 4; i++ {
		v := float64(i) / 4
		fmt.Fprintf(&p.body, `<text x="%.0f" y="%d" text-anchor="middle">%.2g</text>`, margin+v*plotSize, margin+plotSize+16, v)
		fmt.Fprintf(&p.body, `<text x="%d" y="%.0f" text-anchor="end">%.2g</text>`, margin-6, margin+(1-v)*plotSize+4, v)
	}
	most := 1
	for _, b := range bins {
		most = max(most, b.N)
	}
	for _, b := range bins {
		if b.N == 0 {
			continue
		}
		r := 3 + 12*math.Sqrt(float64(b.N)/float64(most))
		fmt.Fprintf(&p.body, "<circle class=\"point\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>%d samples, sure %.3f, right %.3f</title></circle>\n",
			margin+clamp(b.Sure)*plotSize, margin+(1-clamp(b.Right))*plotSize, r, b.N, b.Sure, b.Right)
	}
	fmt.Fprintf(&p.body, `<text x="%d" y="%d" text-anchor="middle">probability of the label</text>`, margin+plotSize/2, size-4)
	fmt.Fprintf(&p.body, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">share that is right</text>\n</svg>\n", margin+plotSize/2, margin-12)
}

// clamp keeps a share between 0 and 1; what is no number is 0.
func clamp(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(1, max(0, v))
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	title := html.EscapeString(p.Title)
	_, err := fmt.Fprintf(w, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%s</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2rem auto;padding:0 1rem;color:#1b2430;background:#fff}
h2{margin-top:2.2rem;font-size:1.1rem}table{border-collapse:collapse;width:100%%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee6;vertical-align:top}
td.met{color:#13693b}td.missed{color:#a3281b;font-weight:600}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f6f8;padding:.8rem;font-size:12.5px}svg{max-width:100%%;height:auto;font-size:12px}
.back{fill:#eef1f4}.bar{fill:#2c6e9b}.mark{stroke:#a3281b;stroke-width:2}.point{fill:#2c6e9b;fill-opacity:.75}text{fill:currentColor}
@media(prefers-color-scheme:dark){body{color:#dde3ea;background:#14181d}pre,.back{background:#1f252c;fill:#1f252c}
td.met{color:#6fcf97}td.missed{color:#ff8f7e}th,td{border-color:#333c46}.bar,.point{fill:#5fa8d8}}
</style></head><body>
<h1>%s</h1>
<p>%s</p>
%s</body></html>
`, title, title, html.EscapeString(p.Lead), p.body.String())
	return err
}
