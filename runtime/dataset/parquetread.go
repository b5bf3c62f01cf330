package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// parquetRows reads a Parquet file by the schema that it carries itself, as rows of JSON
// lines would be: lists as lists, groups as objects, and what Parquet cannot hold put
// back: the empty extra_fields, and the reward from its parts. A file may come from
// anywhere, and the library gives up on some malformed ones by a panic.
func parquetRows(src []byte) (out []map[string]any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("read Parquet: %v", p)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(src), int64(len(src)))
	if err != nil {
		return nil, err
	}
	r := parquet.NewReader(f)
	defer r.Close()
	buf := make([]parquet.Row, 16)
	for {
		n, err := r.ReadRows(buf)
		for _, row := range buf[:n] {
			m, rerr := openRow(f.Schema(), row)
			if rerr != nil {
				return nil, fmt.Errorf("row %d: %w", len(out), rerr)
			}
			out = append(out, m)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if int64(len(out)) != f.NumRows() {
		return nil, fmt.Errorf("%d rows, the file says %d", len(out), f.NumRows())
	}
	return out, nil
}

// openRow assembles a row from its values, each of which names its column.
func openRow(s *parquet.Schema, row parquet.Row) (map[string]any, error) {
	columns := s.Columns()
	byColumn := make([][]parquet.Value, len(columns))
	for _, v := range row {
		byColumn[v.Column()] = append(byColumn[v.Column()], v)
	}
	m := map[string]any{}
	for i, path := range columns {
		vals := byColumn[i]
		switch {
		case len(path) == 3 && path[1] == "list":
			m[path[0]] = parquetList(vals)
		case len(vals) != 1:
			return nil, fmt.Errorf("%v has %d values", path, len(vals))
		case len(path) == 1:
			m[path[0]] = parquetValue(vals[0])
		case len(path) == 2:
			group, _ := m[path[0]].(map[string]any)
			if group == nil {
				group = map[string]any{}
				m[path[0]] = group
			}
			group[path[1]] = parquetValue(vals[0])
		default:
			return nil, fmt.Errorf("column %v is not known", path)
		}
	}
	return m, settleRow(m)
}

// settleRow gives a row the form that it has in JSON lines.
func settleRow(m map[string]any) error {
	parts, _ := m["x_reward_parts"].(string)
	var reward map[string]any
	if err := json.Unmarshal([]byte(parts), &reward); err != nil {
		return fmt.Errorf("x_reward_parts: %w", err)
	}
	if reward["total"] != m["x_reward"] {
		return fmt.Errorf("x_reward is %v, its parts say %v", m["x_reward"], reward["total"])
	}
	m["x_reward"] = reward
	delete(m, "x_reward_parts")
	if list, ok := m["advantages"].([]any); ok && len(list) == 0 {
		m["advantages"] = nil
	}
	if _, verl := m["response_ids"]; verl {
		m["extra_fields"] = map[string]any{}
	}
	return nil
}

// parquetList is a list's values: one null stands for an empty one.
func parquetList(vals []parquet.Value) []any {
	out := []any{}
	for _, v := range vals {
		if !v.IsNull() {
			out = append(out, parquetValue(v))
		}
	}
	return out
}

// parquetValue is a value as JSON has it: numbers are float64.
func parquetValue(v parquet.Value) any {
	if v.IsNull() {
		return nil
	}
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return float64(v.Int32())
	case parquet.Int64:
		return float64(v.Int64())
	case parquet.Float:
		return float64(v.Float())
	case parquet.Double:
		return v.Double()
	}
	return string(v.ByteArray())
}
