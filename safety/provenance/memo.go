package provenance

import "sync"

// memoBytes bounds what a Memo holds; a full one starts again empty.
const memoBytes = 16 << 20

// Memo keeps the normal forms of texts and the records in them, so that the history of a
// run is not read again for each of its calls. It changes no result. The zero Memo is
// ready to use; it is safe for concurrent use. A nil one keeps nothing.
type Memo struct {
	mu     sync.Mutex
	forms  map[string]string
	codes  map[string]string // what coded adds to a text
	parsed map[string][]entry
	marked map[string]*index
	bytes  int
}

func (m *Memo) normal(s string) string {
	if m == nil {
		return Normal(s)
	}
	return m.kept(s, Normal, func() map[string]string { return m.forms })
}

// coded is what the codes in a text stand for, in normal form behind a blank.
func (m *Memo) coded(s string) string {
	if m == nil {
		return uncoded(s)
	}
	return m.kept(s, uncoded, func() map[string]string { return m.codes })
}

// kept is what work makes of a text, from the map that in returns where it is there.
func (m *Memo) kept(s string, work func(string) string, in func() map[string]string) string {
	m.mu.Lock()
	f, ok := in()[s]
	m.mu.Unlock()
	if ok {
		return f
	}
	f = work(s) // outside the lock: two runs may both do it
	m.mu.Lock()
	defer m.mu.Unlock()
	size := len(s) + len(f)
	m.room(size)
	if _, ok := in()[s]; !ok && size <= memoBytes {
		in()[s] = f
		m.bytes += size
	}
	return f
}

// room makes sure that the maps are there and can take so many bytes more.
func (m *Memo) room(size int) {
	if m.forms == nil || m.bytes+size > memoBytes {
		m.forms, m.codes, m.parsed, m.marked, m.bytes = map[string]string{}, map[string]string{}, map[string][]entry{}, map[string]*index{}, 0
	}
}

// entries reads a text as records.
func (m *Memo) entries(s string) []entry {
	if m == nil {
		return entries(s)
	}
	m.mu.Lock()
	e, ok := m.parsed[s]
	m.mu.Unlock()
	if ok {
		return e
	}
	e = entries(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if size := 4 * len(s); size <= memoBytes {
		m.room(size)
		m.parsed[s] = e
		m.bytes += size
	}
	return e
}

// index makes the index of a text whose normal form is given.
func (m *Memo) index(s, form string) *index {
	if m == nil {
		return indexed(form)
	}
	m.mu.Lock()
	x, ok := m.marked[s]
	m.mu.Unlock()
	if ok {
		return x
	}
	x = indexed(form)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room(len(x) * 8)
	m.marked[s] = x
	m.bytes += len(x) * 8
	return x
}
