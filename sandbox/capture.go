package sandbox

import (
	"io"
	"sync"
)

// capturer keeps the first and the last bytes of a stream within a bound, and
// counts the rest. It is used by one goroutine.
type capturer struct {
	head, ring []byte
	half       int // bytes of each part
	at         int // next place in ring
	total      int64
}

// newCapturer keeps up to n bytes: half at the front, half at the end.
func newCapturer(n int64) *capturer {
	return &capturer{half: int((n + 1) / 2)}
}

// drainBuffers are what streams are read through.
var drainBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// drain reads r to its end. It never stops early: a tool must not block
// because its output is no longer wanted.
func (c *capturer) drain(r io.Reader) error {
	buf := drainBuffers.Get().(*[]byte)
	defer drainBuffers.Put(buf)
	for {
		n, err := r.Read(*buf)
		c.write((*buf)[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *capturer) write(b []byte) {
	c.total += int64(len(b))
	if room := c.half - len(c.head); room > 0 {
		n := min(room, len(b))
		c.head = append(c.head, b[:n]...)
		b = b[n:]
	}
	if len(b) > c.half {
		b = b[len(b)-c.half:]
		c.at = 0
		c.ring = c.ring[:0]
	}
	for len(b) > 0 {
		if len(c.ring) < c.half {
			n := min(c.half-len(c.ring), len(b))
			c.ring = append(c.ring, b[:n]...)
			b = b[n:]
			continue
		}
		n := copy(c.ring[c.at:], b)
		c.at = (c.at + n) % c.half
		b = b[n:]
	}
}

// capture returns what was kept. Everything is in Head if nothing was dropped.
func (c *capturer) capture() Capture {
	tail := append(append([]byte(nil), c.ring[c.at:]...), c.ring[:c.at]...)
	if int64(len(c.head)+len(tail)) == c.total {
		return Capture{Head: append(c.head, tail...), Total: c.total}
	}
	return Capture{Head: c.head, Tail: tail, Total: c.total}
}
