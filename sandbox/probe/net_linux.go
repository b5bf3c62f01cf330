//go:build linux && (amd64 || arm64)

package probe

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// netSteps ask for sockets and connections.
var netSteps = map[string]step{
	"families": families,
	"connect": func(_, a []string) string { // kind, IPv4 address or path, port
		return name(connect(a[0], a[1], int(number(a[2]))))
	},
	"sockets": func(_, a []string) string { // many attempts, counted
		n, done := number(a[0]), 0
		for range n {
			if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err == nil {
				unix.Close(fd)
				done++
			}
		}
		return fmt.Sprintf("%d made", done)
	},
}

func connect(kind, address string, port int) error {
	family, typ := unix.AF_INET, unix.SOCK_STREAM
	switch kind {
	case "udp":
		typ = unix.SOCK_DGRAM
	case "unix":
		family = unix.AF_UNIX
	case "vsock":
		family = unix.AF_VSOCK
	}
	fd, err := unix.Socket(family, typ, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if family == unix.AF_UNIX {
		return unix.Connect(fd, &unix.SockaddrUnix{Name: address})
	}
	if family != unix.AF_INET {
		return nil // made, which is enough; never connected
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: ip.As4()})
}

// families asks for sockets of every family and type, with garbage in the high
// words.
func families([]string, []string) string {
	seen := map[string]bool{}
	for f := range 64 {
		for _, high := range []uintptr{0, 1 << 32} {
			for _, typ := range []uintptr{1, 2, 3, 5} {
				seen[raw(unix.SYS_SOCKET, uintptr(f)|high, typ, 0)] = true
			}
		}
	}
	return set(seen)
}
