package netgate

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

const (
	typeA       = 1
	classIN     = 1
	maxQuery    = 512
	codeOK      = 0
	codeNoName  = 3
	codeRefused = 5
)

// query is the one question of a name query.
type query struct {
	id    uint16
	flags uint16
	name  string // in its one form; "" if it is no host name
	said  string // as it was written, with the dots of one
	kind  uint16
	class uint16
	asked []byte // the question as it was sent, for the answer
}

var errQuery = errors.New("malformed query")

// parseQuery reads a query with exactly one question. Nothing in it may refer to
// another part: compression has no place in a question.
func parseQuery(b []byte) (query, error) {
	be := binary.BigEndian
	if len(b) < 12 || len(b) > maxQuery {
		return query{}, errQuery
	}
	q := query{id: be.Uint16(b), flags: be.Uint16(b[2:])}
	if q.flags&0xf800 != 0 || be.Uint16(b[4:]) != 1 || be.Uint16(b[6:]) != 0 || be.Uint16(b[8:]) != 0 {
		return q, errQuery // an answer, another operation, or more than a question
	}
	at := 12
	var name []byte
	for {
		if at >= len(b) {
			return q, errQuery
		}
		n := int(b[at])
		at++
		if n == 0 {
			break
		}
		if n > 63 || at+n > len(b) || len(name)+n+1 > 254 {
			return q, errQuery
		}
		if len(name) > 0 {
			name = append(name, '.')
		}
		for _, c := range b[at : at+n] {
			if c == '.' { // a dot inside a label is not the dot between two
				return q, errQuery
			}
		}
		name = append(name, b[at:at+n]...)
		at += n
	}
	if at+4 > len(b) {
		return q, errQuery
	}
	q.kind, q.class, q.asked = be.Uint16(b[at:]), be.Uint16(b[at+2:]), b[12:at+4]
	q.said = string(name)
	if h, err := ParseHost(q.said); err == nil {
		q.name = h
	}
	return q, nil
}

// shown is the name as records have it: quoted, unless it is a host name.
func (q query) shown() string {
	if q.name != "" {
		return q.said
	}
	return strconv.Quote(q.said)
}

// answer encodes the answer to q: an address if a is valid.
func (q query) answer(code uint16, a netip.Addr) []byte {
	be := binary.BigEndian
	n := uint16(0)
	if a.IsValid() {
		n = 1
	}
	b := be.AppendUint16(nil, q.id)
	// an answer, recursion as desired and available
	b = be.AppendUint16(b, 0x8080|q.flags&0x0100|code)
	for _, v := range []uint16{1, n, 0, 0} {
		b = be.AppendUint16(b, v)
	}
	b = append(b, q.asked...)
	if n == 1 {
		b = append(b, 0xc0, 12) // the name of the question
		b = be.AppendUint16(b, typeA)
		b = be.AppendUint16(b, classIN)
		b = be.AppendUint32(b, 1)
		b = be.AppendUint16(b, 4)
		four := a.As4()
		b = append(b, four[:]...)
	}
	return b
}
