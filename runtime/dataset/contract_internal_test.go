package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzContract holds lines to every contract: a line is accepted or refused, never a
// crash, and what is accepted has arrays of one length.
func FuzzContract(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		line, _, _ := bytes.Cut(src, []byte("\n"))
		f.Add(strings.TrimSuffix(filepath.Base(path), ".jsonl"), line)
	}
	f.Fuzz(func(t *testing.T, stem string, line []byte) {
		row, err := readRow(line)
		if err != nil {
			return
		}
		for _, bare := range []bool{true, false} {
			var c Checked
			if c.row(stem, row, bare) != nil {
				continue
			}
			ids, _ := row["response_ids"].([]any)
			mask, _ := row["response_mask"].([]any)
			if len(ids) != len(mask) || c.Rows != 1 {
				t.Errorf("%s: %d tokens, %d in the mask, %d rows", stem, len(ids), len(mask), c.Rows)
			}
		}
	})
}

// FuzzParquetRows reads what may be a Parquet file.
func FuzzParquetRows(f *testing.F) {
	f.Add([]byte("PAR1PAR1"))
	var x exporter
	x.card = newCard(Options{}, About{})
	r := row{body: VerlRow{Prompt: []int32{1}, Response: []int32{2}, Mask: []int32{1}, Logprobs: []float32{-1}},
		extra: rowExtra{Rows: 1, Kind: LogprobsRaw}, mark: mark{Reward: &Reward{}}}
	src, err := x.parquet([]row{r, r})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(src)
	f.Fuzz(func(t *testing.T, src []byte) {
		rows, err := parquetRows(src)
		if err == nil && rows == nil && len(src) == 0 {
			t.Error("nothing was read without an error")
		}
	})
}
