package provenance

import "sync"

// memoBytes bounds what a Memo holds; a full one starts again empty.
const memoBytes = 16 << 20

// Memo keeps the normal forms of texts, so that the history of a run is not brought
// into normal form again for each of its calls. It changes no result. The zero Memo is
// ready to use; it is safe for concurrent use. A nil one keeps nothing.
type Memo struct {
	mu    sync.Mutex
	forms map[string]string
	bytes int
}

func (m *Memo) normal(s string) string {
	if m == nil {
		return Normal(s)
	}
	m.mu.Lock()
	f, ok := m.forms[s]
	m.mu.Unlock()
	if ok {
		return f
	}
	f = Normal(s) // outside the lock: two runs may both do it
	m.mu.Lock()
	defer m.mu.Unlock()
	size := len(s) + len(f)
	if m.forms == nil || m.bytes+size > memoBytes {
		m.forms, m.bytes = map[string]string{}, 0
	}
	if _, ok := m.forms[s]; !ok && size <= memoBytes {
		m.forms[s] = f
		m.bytes += size
	}
	return f
}
