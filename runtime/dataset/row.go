package dataset

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// mark is what every row outside ATIF also carries, unless it is to be bare.
type mark struct {
	ID     string  `json:"x_id"`
	Run    string  `json:"x_run"`
	Split  string  `json:"x_split"`
	Reward *Reward `json:"x_reward"`
}

// rowID identifies a row: hex of H("holdfast/row/1", format, run, first, last), with the
// positions of the first and the last event that it stems from, and then the other run of
// a pair of two.
func rowID(format, run string, first, last int64, other string) string {
	parts := [][]byte{[]byte(format), []byte(run), be(uint64(first)), be(uint64(last))}
	if other != "" && other != run {
		parts = append(parts, []byte(other))
	}
	d := agent.Hash("holdfast/row/1", parts...)
	return hex.EncodeToString(d[:])
}

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Splits divides runs into three sets by their task, in hundredths. The zero value is
// 90, 5 and 5.
type Splits struct {
	Train, Validation, Test int
	Seed                    uint64
}

// Validate reports whether the hundredths make a whole.
func (s Splits) Validate() error {
	if s.Train < 0 || s.Validation < 0 || s.Test < 0 || (s.Train+s.Validation+s.Test != 100 && s != Splits{Seed: s.Seed}) {
		return fmt.Errorf("split %d,%d,%d does not add up to 100", s.Train, s.Validation, s.Test)
	}
	return nil
}

// Of names the set of a run: "train", "validation" or "test". It depends on the task
// alone, or on the first message of the user where there is none, so that attempts at
// one task stay together.
func (s Splits) Of(t *Trajectory) string {
	if s.Train+s.Validation+s.Test == 0 {
		s.Train, s.Validation = 90, 5
	}
	d := agent.Hash("holdfast/split/1", be(s.Seed), []byte(splitKey(t)))
	switch n := int(binary.BigEndian.Uint64(d[:8]) % 100); {
	case n < s.Train:
		return "train"
	case n < s.Train+s.Validation:
		return "validation"
	}
	return "test"
}

func splitKey(t *Trajectory) string {
	if t.Run.Task != "" {
		return t.Run.Task
	}
	for _, e := range t.Entries {
		if e.Message.Role == agent.User {
			d := agent.Hash("holdfast/split-key/1", []byte(strings.Join(strings.Fields(e.Message.Text), " ")))
			return hex.EncodeToString(d[:])
		}
	}
	return t.Run.ID
}

// encode writes one value as JSON without HTML escapes, members in their order.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// join puts the members of several JSON objects into one, in order.
func join(objects ...any) ([]byte, error) {
	out := []byte{'{'}
	for _, o := range objects {
		b, err := encode(o)
		if err != nil {
			return nil, err
		}
		if len(b) <= 2 || b[0] != '{' {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, b[1:len(b)-1]...)
	}
	return append(out, '}'), nil
}
