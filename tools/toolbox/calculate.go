package toolbox

import (
	"errors"
	"math"
	"math/big"
	"strings"
)

// The bounds of one calculation.
const (
	maxExpr      = 1000 // bytes
	maxNesting   = 64   // of parentheses, signs and powers
	maxBits      = 8192 // of a numerator or denominator
	maxSigDigits = 10   // of a result that is not an integer
)

// The failures of a calculation; their texts are shown as they are.
var (
	errSyntax = errors.New("error: not an expression")
	errZero   = errors.New("error: division by zero")
	errRange  = errors.New("error: number out of range")
	errReal   = errors.New("error: not a real number")
)

// Calculate evaluates an expression of decimal numbers, + - * / % ^, unary signs
// and parentheses. Integers are exact; other results are rounded to at most 10
// significant digits, never in the integer part. ^ binds tightest and to the
// right, so -2^2 is -4; the remainder % has the sign of its left side. ok is
// false when the text is an error.
func Calculate(expr string) (text string, ok bool) {
	if len(expr) > maxExpr {
		return errSyntax.Error(), false
	}
	p := &calc{in: expr}
	v, err := p.sum()
	if err == nil && p.peek() != 0 {
		err = errSyntax
	}
	if err != nil {
		return err.Error(), false
	}
	return number(v), true
}

// calc is a recursive-descent parser that evaluates as it reads.
type calc struct {
	in    string
	pos   int
	depth int
}

// peek returns the next character that is no blank, 0 at the end. A NUL in the
// input is 0 as well, and sum then stops before the end of the text, so next is
// what tells the two apart.
func (p *calc) peek() byte {
	for p.pos < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.pos]) >= 0 {
		p.pos++
	}
	if p.pos == len(p.in) {
		return 0
	}
	if p.in[p.pos] == 0 {
		return '?'
	}
	return p.in[p.pos]
}

// sum reads products joined by + and -.
func (p *calc) sum() (*big.Rat, error) {
	return p.chain("+-", p.product)
}

// product reads signed powers joined by * / and %.
func (p *calc) product() (*big.Rat, error) {
	return p.chain("*/%", p.signed)
}

// chain reads operands joined by left-associative operators.
func (p *calc) chain(ops string, operand func() (*big.Rat, error)) (*big.Rat, error) {
	v, err := operand()
	for err == nil {
		op := p.peek()
		if op == 0 || strings.IndexByte(ops, op) < 0 {
			return v, nil
		}
		p.pos++
		var w *big.Rat
		if w, err = operand(); err == nil {
			v, err = apply(op, v, w)
		}
	}
	return nil, err
}

// signed reads a power with any signs before it.
func (p *calc) signed() (*big.Rat, error) {
	if c := p.peek(); c != '-' && c != '+' {
		return p.power()
	}
	return p.nested(func() (*big.Rat, error) {
		minus := p.peek() == '-'
		p.pos++
		v, err := p.signed()
		if err == nil && minus {
			v = new(big.Rat).Neg(v)
		}
		return v, err
	})
}

// power reads an atom and what it is raised to.
func (p *calc) power() (*big.Rat, error) {
	v, err := p.atom()
	if err != nil || p.peek() != '^' {
		return v, err
	}
	p.pos++
	return p.nested(func() (*big.Rat, error) {
		e, err := p.signed()
		if err != nil {
			return nil, err
		}
		return raise(v, e)
	})
}

// atom reads a number or an expression in parentheses.
func (p *calc) atom() (*big.Rat, error) {
	if p.peek() != '(' {
		return p.literal()
	}
	p.pos++
	return p.nested(func() (*big.Rat, error) {
		v, err := p.sum()
		if err == nil && p.peek() != ')' {
			err = errSyntax
		}
		p.pos++
		return v, err
	})
}

// nested runs f one level deeper.
func (p *calc) nested(f func() (*big.Rat, error)) (*big.Rat, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, errSyntax
	}
	defer func() { p.depth-- }()
	return f()
}

// literal reads digits with at most one decimal point among them.
func (p *calc) literal() (*big.Rat, error) {
	p.peek()
	start, digits, points := p.pos, 0, 0
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		if c == '.' {
			points++
		} else if c >= '0' && c <= '9' {
			digits++
		} else {
			break
		}
		p.pos++
	}
	if digits == 0 || points > 1 {
		return nil, errSyntax
	}
	v, ok := new(big.Rat).SetString(p.in[start:p.pos])
	if !ok {
		return nil, errSyntax
	}
	return v, nil
}

// apply computes v op w.
func apply(op byte, v, w *big.Rat) (*big.Rat, error) {
	if op != '+' && op != '-' && op != '*' && w.Sign() == 0 {
		return nil, errZero
	}
	r := new(big.Rat)
	switch op {
	case '+':
		r.Add(v, w)
	case '-':
		r.Sub(v, w)
	case '*':
		r.Mul(v, w)
	case '/':
		r.Quo(v, w)
	case '%':
		q := new(big.Rat).Quo(v, w)
		whole := new(big.Rat).SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
		r.Sub(v, whole.Mul(whole, w))
	}
	return bounded(r)
}

// raise computes v to the power of e: exactly when e is an integer, else in
// double precision.
func raise(v, e *big.Rat) (*big.Rat, error) {
	if v.Sign() == 0 && e.Sign() < 0 {
		return nil, errZero
	}
	if !e.IsInt() {
		x, _ := v.Float64()
		y, _ := e.Float64()
		return fromFloat(math.Pow(x, y))
	}
	n := new(big.Int).Abs(e.Num())
	size := int64(max(v.Num().BitLen(), v.Denom().BitLen()))
	if size <= 1 { // -1, 0 or 1
		n.And(n, big.NewInt(1))
		if e.Sign() != 0 && n.Sign() == 0 {
			n.SetInt64(2)
		}
	} else if !n.IsInt64() || n.Int64() > maxBits || n.Int64()*(size-1) > maxBits {
		return nil, errRange
	}
	r := new(big.Rat).SetFrac(new(big.Int).Exp(v.Num(), n, nil), new(big.Int).Exp(v.Denom(), n, nil))
	if e.Sign() < 0 {
		r.Inv(r)
	}
	return bounded(r)
}

func fromFloat(f float64) (*big.Rat, error) {
	switch {
	case math.IsNaN(f):
		return nil, errReal
	case math.IsInf(f, 0):
		return nil, errRange
	}
	return bounded(new(big.Rat).SetFloat64(f))
}

// bounded refuses a number that has grown too long.
func bounded(r *big.Rat) (*big.Rat, error) {
	if r.Num().BitLen() > maxBits || r.Denom().BitLen() > maxBits {
		return nil, errRange
	}
	return r, nil
}

// number writes a result: an integer in full, anything else rounded half away
// from zero, without trailing zeros.
func number(v *big.Rat) string {
	if v.IsInt() {
		return v.Num().String()
	}
	s := v.FloatString(places(v))
	if strings.Contains(s, ".") {
		s = strings.TrimRight(s, "0")
		s = strings.TrimSuffix(s, ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// places returns how many decimals leave at most maxSigDigits significant digits.
func places(v *big.Rat) int {
	whole := new(big.Int).Quo(v.Num(), v.Denom())
	if whole.Sign() != 0 {
		digits := len(whole.Abs(whole).String())
		return max(0, maxSigDigits-digits)
	}
	n := maxSigDigits
	ten, x := big.NewRat(10, 1), new(big.Rat).Abs(v)
	for x.Mul(x, ten).Cmp(big.NewRat(1, 1)) < 0 {
		n++
	}
	return n
}
