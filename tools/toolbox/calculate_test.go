package toolbox_test

import (
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/tools/toolbox"
)

func TestCalculate(t *testing.T) {
	for expr, want := range map[string]string{
		"1+2":                     "3",
		" 2 + 3 * 4 ":             "14",
		"(2+3)*4":                 "20",
		"10-2-3":                  "5",
		"100/8/5":                 "2.5",
		"2^3^2":                   "512",
		"-2^2":                    "-4",
		"(-2)^2":                  "4",
		"2^-1":                    "0.5",
		"--3":                     "3",
		"+3":                      "3",
		"2*-3":                    "-6",
		"17%5":                    "2",
		"-7%3":                    "-1",
		"7%-3":                    "1",
		"5.5%2":                   "1.5",
		"0.1+0.2":                 "0.3",
		"1/3":                     "0.3333333333",
		"-2/3":                    "-0.6666666667",
		"1/3*3":                   "1",
		"200/3":                   "66.66666667",
		"1/300":                   "0.003333333333",
		"12345678901.5*1":         "12345678902",
		"9999999999999999999+1":   "10000000000000000000",
		"2^64":                    "18446744073709551616",
		"4^0.5":                   "2",
		"2^0.5":                   "1.414213562",
		".5+5.":                   "5.5",
		"0^0":                     "1",
		"1^99999999999999":        "1",
		"(-1)^99999999999999":     "-1",
		"(-1)^-4":                 "1",
		"0^99999999999999":        "0",
		"1/0":                     "error: division by zero",
		"1%0":                     "error: division by zero",
		"0^-1":                    "error: division by zero",
		"(-1)^0.5":                "error: not a real number",
		"9^9^9":                   "error: number out of range",
		"2^9000":                  "error: number out of range",
		"10^308.5":                "error: number out of range",
		"":                        "error: not an expression",
		"1+":                      "error: not an expression",
		"(1":                      "error: not an expression",
		"1)":                      "error: not an expression",
		"1 2":                     "error: not an expression",
		"1..2":                    "error: not an expression",
		".":                       "error: not an expression",
		"1e5":                     "error: not an expression",
		"0x10":                    "error: not an expression",
		"os.exit(1)":              "error: not an expression",
		"1\x00":                   "error: not an expression",
		"1\x00+1":                 "error: not an expression",
		strings.Repeat("(", 500):  "error: not an expression",
		strings.Repeat("-", 500):  "error: not an expression",
		strings.Repeat("1", 1001): "error: not an expression",
	} {
		text, ok := toolbox.Calculate(expr)
		if text != want || ok == strings.HasPrefix(want, "error: ") {
			t.Errorf("Calculate(%q) = %q, %v; want %q", expr, text, ok, want)
		}
	}
}

func FuzzCalculate(f *testing.F) {
	for _, s := range []string{"1+2*3", "-(2^10)/3%7", "1/0", ".5", "((", "2^0.5", "9^9^9", "1\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		text, ok := toolbox.Calculate(expr)
		if !ok {
			if !strings.HasPrefix(text, "error: ") {
				t.Fatalf("failure %q without an error text", text)
			}
			return
		}
		if len(text) > 4000 {
			t.Fatalf("result of %d bytes", len(text))
		}
		v, isNumber := new(big.Rat).SetString(text)
		if !isNumber || strings.ContainsAny(text, "eE/") {
			t.Fatalf("Calculate(%q) = %q, which is no decimal number", expr, text)
		}
		if len(text) < 900 {
			if again, ok := toolbox.Calculate(text); !ok || again != text && v.IsInt() {
				t.Fatalf("result %q evaluates to %q", text, again)
			}
		}
	})
}

func FuzzInert(f *testing.F) {
	f.Add("a\x1b[0m\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := toolbox.Inert(s, "\n\t")
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\r\x00\u202e\u009b") {
			t.Fatalf("Inert(%q) = %q", s, got)
		}
		if toolbox.Inert(got, "\n\t") != got {
			t.Fatalf("Inert(%q) changes when repeated", got)
		}
	})
}
