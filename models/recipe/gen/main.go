// Gen makes the training data of the reference model: transcripts of runs over its
// domain, with the questions that the runtime puts on forks of them.
//
// It is a developer's tool. The calls of a transcript are carried out in a real
// temporary folder by the code of the built-in tools, so that the texts a model learns
// from are the texts it will meet. The same seed gives the same data.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/holdfast-run/holdfast/runtime/frame"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	n       int
	split   string
	seed    uint64
	out     string
	show    int
	only    string
	workers int
	tasks   bool
	frames  bool
}

func run(args []string, stdout, stderr io.Writer) error {
	var o options
	f := flag.NewFlagSet("gen", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.n, "n", 1000, "how many documents")
	f.StringVar(&o.split, "split", splitTrain, "train, slots (held-out values) or phr (held-out values and phrasing)")
	f.Uint64Var(&o.seed, "seed", 1, "seed")
	f.StringVar(&o.out, "o", "", "write JSON lines to this file")
	f.IntVar(&o.show, "show", 0, "print this many documents to read instead")
	f.BoolVar(&o.tasks, "tasks", false, "write tasks for measuring a model in the loop, not documents")
	f.BoolVar(&o.frames, "frames", false, "print the digest of the prompts that documents are written with, and nothing else")
	f.StringVar(&o.only, "kind", "", "with -show: only documents of this kind")
	f.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many run at once")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.split != splitTrain && o.split != splitSlots && o.split != splitPhr {
		return fmt.Errorf("split %q is not train, slots or phr", o.split)
	}
	if o.frames {
		fmt.Fprintln(stdout, frame.Digest())
		return nil
	}
	p, err := loadPhrases()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(memoryDir(), "holdfast-gen-")
	if err != nil {
		return fmt.Errorf("make temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	go func() { // nobody finds what is left in memory
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		<-ended
		os.RemoveAll(dir)
		os.Exit(130)
	}()
	if o.show > 0 {
		return showSamples(p, dir, o, stdout)
	}
	if o.out == "" {
		return fmt.Errorf("-o names no file")
	}
	if o.tasks {
		return writeTasks(p, dir, o, stdout)
	}
	return writeAll(p, dir, o, stdout)
}

// memoryDir is a folder in memory where there is one: the workspaces are many and small.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// batch is a run of documents, encoded.
type batch struct {
	lines [][]byte
	docs  []document
	err   error
}

const batchSize = 64

// writeAll generates in parallel and writes in order.
func writeAll(p phrases, dir string, o options, stdout io.Writer) error {
	file, err := os.Create(o.out)
	if err != nil {
		return fmt.Errorf("create data file: %w", err)
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	sum := newSummary()
	n := (o.n + batchSize - 1) / batchSize
	slots := make([]chan batch, n)
	for i := range slots {
		slots[i] = make(chan batch, 1)
	}
	next, stop := make(chan int), make(chan struct{})
	var wg sync.WaitGroup
	for k := range max(1, o.workers) {
		wg.Go(func() { work(p, filepath.Join(dir, fmt.Sprint(k)), o, next, slots) })
	}
	wg.Go(func() {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-stop:
				return
			}
		}
	})
	for i := range n {
		b := <-slots[i]
		if err = b.err; err != nil {
			break
		}
		for j, l := range b.lines {
			sum.add(b.docs[j], len(l))
			if _, err = w.Write(append(l, '\n')); err != nil {
				break
			}
		}
	}
	close(stop)
	wg.Wait()
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write data file: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write data file: %w", err)
	}
	sum.print(stdout)
	return nil
}

// work generates the batches whose numbers it is given.
func work(p phrases, dir string, o options, next <-chan int, slots []chan batch) {
	ws, err := newWorkspace(dir)
	for i := range next {
		b := batch{err: err}
		for j := i * batchSize; j < min(o.n, (i+1)*batchSize) && b.err == nil; j++ {
			var d document
			var l []byte
			if d, b.err = generate(p, ws, o.split, o.seed, uint64(j)); b.err == nil {
				l, b.err = encode(d)
			}
			b.lines, b.docs = append(b.lines, l), append(b.docs, d)
		}
		slots[i] <- b
	}
	if err == nil {
		ws.Close()
	}
}

// encode renders a document as one line of JSON.
func encode(d document) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// summary counts what was generated.
type summary struct {
	kinds  map[string]int
	labels map[string]int
	forks  map[string]int
	bytes  int
	docs   int
}

func newSummary() *summary {
	return &summary{kinds: map[string]int{}, labels: map[string]int{}, forks: map[string]int{}}
}

func (s *summary) add(d document, size int) {
	s.docs++
	s.bytes += size
	s.kinds[d.Kind]++
	s.labels[d.Meta.Label]++
	for _, f := range d.Forks {
		key := f.Purpose
		if f.Purpose != "plan" {
			key += " " + f.Want
		}
		s.forks[key]++
	}
}

func (s *summary) print(w io.Writer) {
	fmt.Fprintf(w, "%d documents, %.1f MB\n", s.docs, float64(s.bytes)/1e6)
	for _, t := range []struct {
		name string
		of   map[string]int
	}{{"request", s.labels}, {"fork", s.forks}, {"kind", s.kinds}} {
		var keys []string
		for k := range t.of {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			fmt.Fprintf(w, "%-8s %-22s %7d\n", t.name, k, t.of[k])
		}
	}
}

// showSamples prints documents to read.
func showSamples(p phrases, dir string, o options, w io.Writer) error {
	ws, err := newWorkspace(dir)
	if err != nil {
		return err
	}
	defer ws.Close()
	shown := 0
	for i := uint64(0); shown < o.show && i < 1_000_000; i++ {
		d, err := generate(p, ws, o.split, o.seed, i)
		if err != nil {
			return err
		}
		if o.only != "" && d.Kind != o.only {
			continue
		}
		shown++
		fmt.Fprintf(w, "==== %s %s label=%s\n", d.ID, d.Kind, d.Meta.Label)
		fmt.Fprint(w, readable(d))
	}
	return nil
}

// readable renders a document for the eye: learned text is marked with a bar, and the
// texts that are the same everywhere are left out.
func readable(d document) string {
	var b strings.Builder
	fixed := map[string]bool{frame.Label: true, frame.Plan: true, frame.Review: true, frame.Screen: true}
	render := func(segs []segment, indent string) {
		for _, s := range segs {
			if s.Special == 1 && !strings.Contains(s.Text, "<tool_call>") && s.Learn == 0 || fixed[s.Text] {
				continue
			}
			mark := "  "
			if s.Learn == 1 {
				mark = "| "
			}
			t := strings.TrimSuffix(s.Text, closes)
			fmt.Fprintf(&b, "%s%s%s\n", indent, mark, strings.ReplaceAll(t, "\n", " // "))
		}
	}
	render(d.Main[2:], "")
	for _, f := range d.Forks {
		fmt.Fprintf(&b, "  -- %s at %d: %s\n", f.Purpose, f.At, f.Want)
		render(f.Segments, "    ")
	}
	return b.String()
}
