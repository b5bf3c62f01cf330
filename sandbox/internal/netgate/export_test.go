package netgate

// Answer returns what is answered to a name query, or nil.
func (g *Gate) Answer(b []byte) []byte { return g.answer(b) }
