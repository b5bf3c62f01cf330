package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// TestHandWrittenSetIsReadable checks the requests and responses written by hand, which
// no document of any split may repeat.
func TestHandWrittenSetIsReadable(t *testing.T) {
	type item struct {
		ID, Ask, Request, Label, Tool, Text string
		Plan                                []string
		Args                                map[string]string
	}
	seen := map[string]bool{}
	n := map[string]int{}
	s := bufio.NewScanner(bytes.NewReader(readAll(t, "../hand.jsonl")))
	for s.Scan() {
		var it item
		if err := json.Unmarshal(s.Bytes(), &it); err != nil {
			t.Fatalf("%v: %s", err, s.Text())
		}
		if !slices.Contains([]string{benign, sensitive, malicious}, it.Label) || seen[it.ID] ||
			it.Tool != "" && !slices.Contains(toolNames, it.Tool) || it.Ask == "response" && it.Text == "" {
			t.Errorf("%s is not a case", s.Text())
		}
		seen[it.ID] = true
		n[it.Ask]++
	}
	if n["request"] < 110 || n["request"]+n["response"] < 150 {
		t.Errorf("only %v cases", n)
	}
}
