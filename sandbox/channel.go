//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// message is what a process of the stage sends.
type message struct {
	kind  uint32
	index int
	code  stage.Code
	err   int32
	data  [8]uint64
	pid   int // of the sender, by the kernel, in the runner's pid namespace
	uid   int
	fd    int // a descriptor that came along, else -1
}

// errno returns the error of a failed step.
func (m message) errno() syscall.Errno { return syscall.Errno(m.err) }

// socketPair returns two ends of a message channel. Ours can be given
// deadlines and says who sent; theirs is plain.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	err = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	if err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "cell"), os.NewFile(uintptr(fds[1]), "cell"), nil
}

// pipe returns a pipe of which the runner's end can be given deadlines.
// Reading says which end that is.
func pipe(reading bool) (ours, theirs *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	mine, other := p[1], p[0]
	if reading {
		mine, other = other, mine
	}
	if err := unix.SetNonblock(mine, true); err != nil {
		unix.Close(mine)
		unix.Close(other)
		return nil, nil, err
	}
	return os.NewFile(uintptr(mine), "pipe"), os.NewFile(uintptr(other), "pipe"), nil
}

// receive waits for one message until the deadline. It returns io.EOF when
// every other end is closed.
func receive(f *os.File, deadline time.Time) (message, error) {
	if err := f.SetReadDeadline(deadline); err != nil {
		return message{}, err
	}
	return receiveMore(f)
}

// receiveMore is receive under the deadline that was set before.
func receiveMore(f *os.File) (message, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return message{}, err
	}
	var buf [stage.MsgSize]byte
	oob := make([]byte, 64)
	var n, oobn int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, rerr = unix.Recvmsg(int(fd), buf[:], oob, unix.MSG_CMSG_CLOEXEC)
			if rerr != unix.EINTR {
				return rerr != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return message{}, err
	}
	if rerr == unix.ECONNRESET || rerr == nil && n == 0 {
		return message{}, io.EOF
	}
	if rerr != nil {
		return message{}, rerr
	}
	if n != stage.MsgSize {
		return message{}, errors.New("malformed message from the stage")
	}
	return parseMessage(buf[:], oob[:oobn])
}

func parseMessage(b, oob []byte) (message, error) {
	le := binary.LittleEndian
	m := message{fd: -1, kind: le.Uint32(b), index: int(int32(le.Uint32(b[4:]))),
		code: stage.Code(le.Uint32(b[8:])), err: int32(le.Uint32(b[12:]))}
	for i := range m.data {
		m.data[i] = le.Uint64(b[16+8*i:])
	}
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return m, err
	}
	for _, c := range list {
		if cred, err := unix.ParseUnixCredentials(&c); err == nil {
			m.pid, m.uid = int(cred.Pid), int(cred.Uid)
		}
		if fds, err := unix.ParseUnixRights(&c); err == nil {
			m.take(fds)
		}
	}
	if m.pid <= 0 {
		return m, errors.New("message from the stage without credentials")
	}
	return m, nil
}

// take keeps the first descriptor of a message and closes the rest. Only these
// kinds of message carry any; with others it is closed as well.
func (m *message) take(fds []int) {
	for _, fd := range fds {
		if m.fd < 0 && (m.kind == stage.MsgLayer || m.kind == stage.MsgListener || m.kind == stage.MsgSocket || m.kind == stage.MsgPTY) {
			m.fd = fd
			continue
		}
		unix.Close(fd)
	}
}

// cmpErr names a missing error.
func cmpErr(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
