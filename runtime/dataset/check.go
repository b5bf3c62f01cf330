package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrContract means that a set is not what its card or its format says.
var ErrContract = errors.New("set does not keep its contract")

// Checked is what Check read.
type Checked struct {
	Format string
	Files  int
	Rows   int
	Tokens int // of token rows, the sampled ones that train

	ids map[string]bool // of the rows so far
}

// Check reads a set that Export wrote: its card, the digest of each file that the card
// names, and every row, which must be what its format's documents say, with arrays of
// token rows of one length. ATIF documents are decoded strictly. It reads with decoders
// of its own, which know nothing of the types that rows are written from.
//
// Errors are *Error and wrap ErrContract where the set is at fault.
func Check(dir string) (Checked, error) {
	c, err := check(dir)
	if err != nil {
		return c, &Error{Op: "check " + dir, Err: err}
	}
	return c, nil
}

func check(dir string) (Checked, error) {
	var card struct {
		Format  string            `json:"format"`
		Rows    int               `json:"rows"`
		Options Options           `json:"options"`
		Files   map[string]string `json:"files"`
	}
	src, err := os.ReadFile(filepath.Join(dir, "card.json"))
	if err != nil {
		return Checked{}, err
	}
	if err := json.Unmarshal(src, &card); err != nil {
		return Checked{}, fmt.Errorf("%w: read card: %w", ErrContract, err)
	}
	out := Checked{Format: card.Format}
	for _, name := range sorted(card.Files) {
		if name != filepath.Base(name) {
			return out, fmt.Errorf("%w: the card names %q", ErrContract, name)
		}
		src, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return out, err
		}
		if d := sha256.Sum256(src); hex.EncodeToString(d[:]) != card.Files[name] {
			return out, fmt.Errorf("%w: %s is not the file that the card names", ErrContract, name)
		}
		if err := out.file(name, src, card.Options); err != nil {
			return out, fmt.Errorf("%w: %s: %w", ErrContract, name, err)
		}
		out.Files++
	}
	if err := onlyNamed(dir, card.Files); err != nil {
		return out, err
	}
	if out.Rows != card.Rows {
		return out, fmt.Errorf("%w: %d rows, the card says %d", ErrContract, out.Rows, card.Rows)
	}
	return out, nil
}

// onlyNamed reports a file of rows in the folder that the card does not name.
func onlyNamed(dir string, files map[string]string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		_, named := files[f.Name()]
		if rows := slices.Contains([]string{".json", ".jsonl", ".parquet"}, filepath.Ext(f.Name())); rows && !named && f.Name() != "card.json" {
			return fmt.Errorf("%w: the card does not name %s", ErrContract, f.Name())
		}
	}
	return nil
}

// file checks the rows of one file.
func (c *Checked) file(name string, src []byte, o Options) error {
	switch filepath.Ext(name) {
	case ".json":
		c.Rows++
		_, err := DecodeATIF(src)
		return err
	case ".parquet":
		rows, err := parquetRows(src)
		if err != nil {
			return err
		}
		for i, r := range rows {
			if err := c.row("tokens-"+or(o.Layout, LayoutVerl), r, false); err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
		}
		return nil
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(name, ".jsonl"), "-review")
	lines := bytes.Split(src, []byte("\n"))
	if last := len(lines) - 1; len(lines[last]) > 0 {
		return errors.New("the last line is cut off")
	}
	for i, l := range lines[:len(lines)-1] {
		row, err := readRow(l)
		if err == nil {
			err = c.row(stem, row, o.Bare)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

// readRow reads one object, refusing repeated members.
func readRow(src []byte) (map[string]any, error) {
	if _, err := readTree(src); err != nil {
		return nil, err
	}
	var row map[string]any
	err := json.Unmarshal(src, &row)
	return row, err
}

// row holds one row to its contract and counts it.
func (c *Checked) row(stem string, row map[string]any, bare bool) error {
	members, known := contracts[stem]
	if !known {
		return fmt.Errorf("no rows are known by the name %q", stem)
	}
	if !bare {
		members = append(marks(stem), members...)
	}
	if err := object(members...)(row); err != nil {
		return err
	}
	c.Rows++
	if id, ok := row["x_id"].(string); ok {
		if c.ids[id] {
			return fmt.Errorf("another row has its x_id %s", id)
		}
		if c.ids == nil {
			c.ids = map[string]bool{}
		}
		c.ids[id] = true
	}
	if !strings.HasPrefix(stem, "tokens") {
		return nil
	}
	for _, name := range []string{"response_mask", "mask"} {
		list, _ := row[name].([]any)
		for _, m := range list {
			if m == true || m == 1.0 {
				c.Tokens++
			}
		}
	}
	return lengths(row)
}
