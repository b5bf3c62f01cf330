package main

import (
	"reflect"
	"testing"
)

// relay is a record as it stands in a file, of which the last key is not wanted.
func relay() record {
	r := record{vals: map[string]string{}, lines: map[string]string{}, heads: map[string]string{}}
	r.note("name", "relay", "name", "name: relay")
	r.note("port", "80", "port", "port: 80")
	r.note("size", "9", "size", "size: 9")
	return r
}

func TestWalk(t *testing.T) {
	const text = "# head\nname: relay\n[withheld]\nplain words\ntoken = x\nport: 80\nsize: 9\n"
	for name, c := range map[string]struct {
		keys  []string
		seen  []string
		found int
	}{
		"ends at the wanted line":       {[]string{"port"}, []string{"name", "token", "port: 80"}, 1},
		"ends at the last wanted line":  {[]string{"port", "name"}, []string{"name: relay", "token", "port: 80"}, 2},
		"passes all for a missing key":  {[]string{"host"}, []string{"name", "token", "port", "size"}, 0},
		"takes no key for a longer one": {[]string{"por"}, []string{"name", "token", "port", "size"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			seen, found := relay().walk(text, c.keys...)
			if !reflect.DeepEqual(seen, c.seen) || found != c.found {
				t.Errorf("got %q, %d", seen, found)
			}
		})
	}
	t.Run("a withheld line is not found", func(t *testing.T) {
		if seen, found := relay().walk("name: relay\n[withheld]\n", "port"); found != 0 || len(seen) != 1 {
			t.Errorf("got %q, %d", seen, found)
		}
	})
}

func TestWalkRows(t *testing.T) {
	tab := table{columns: []string{"item", "color", "price"}, rows: [][]string{{"nail", "grey", "1"}, {"saw", "red", "7"}}}
	const text = "item,color,price\nan order\nnail,grey,1\nsaw,red,7\n"
	if seen, found := tab.walkRows(text, "saw", 2); !found || !reflect.DeepEqual(seen, []string{"nail", "saw: color red, price 7"}) {
		t.Errorf("got %q, %v", seen, found)
	}
	if seen, found := tab.walkRows(text, "bolt", 1); found || !reflect.DeepEqual(seen, []string{"nail", "saw"}) {
		t.Errorf("got %q, %v", seen, found)
	}
}

func TestSaidInTheOpen(t *testing.T) {
	names := []string{"a.txt", "b.md", "c.txt"}
	for got, want := range map[string]string{
		counted("docs", names[:2]):               "docs holds 1) a.txt, 2) b.md: 2 files.",
		counted(".", names[:1]):                  "The workspace holds 1) a.txt: 1 file.",
		holds("docs", upTo(names, "b.md")):       "docs holds a.txt, b.md.",
		holds("docs", upTo(names, "x")):          "docs holds a.txt, b.md, c.txt.",
		holds("docs", entries("(empty)")):        "docs is empty.",
		hasNo("f", nil, "port"):                  "f has no port.",
		hasNo("f", []string{"a", "b"}, "port"):   "f has a, b; it has no port.",
		walkLines([]string{"one two", "red"}, 1): "1) one, 2) red",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := onlyFiles([]string{"a", "b/"}); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("files %q", got)
	}
}
