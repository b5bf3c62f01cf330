package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sampleNote = "holdfast/ledger/00\n3\nAAAA\n\n— ops AAAA\n"

// keeper listens on a socket and answers what it is given once the note is over.
func keeper(t *testing.T, answer string) (socket string, got chan string) {
	t.Helper()
	socket, got = filepath.Join(t.TempDir(), "s"), make(chan string, 1)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b, _ := io.ReadAll(conn)
		got <- string(b)
		io.WriteString(conn, answer)
	}()
	return socket, got
}

func TestAnchors(t *testing.T) {
	t.Run("SystemLogAndBack", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "log")
		conn, err := net.ListenPacket("unixgram", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if where, err := anchorTo([]string{"syslog:" + socket})([]byte(sampleNote)); err != nil || where != "syslog:"+socket {
			t.Fatal(where, err)
		}
		buf := make([]byte, 4096)
		n, _, err := conn.ReadFrom(buf)
		if err != nil || bytes.Contains(buf[:n], []byte("\n")) {
			t.Fatalf("%q %v", buf[:n], err)
		}
		log := filepath.Join(t.TempDir(), "syslog") // as a daemon writes it, among other lines
		text := "Jan  1 00:00:00 host other: x\nJan  1 00:00:00 host " + strings.TrimPrefix(string(buf[:n]), syslogTag) + "\n"
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		notes, err := readAnchor(log)
		if err != nil || len(notes) != 1 || string(notes[0]) != sampleNote {
			t.Errorf("%q %v", notes, err)
		}
	})
	t.Run("SocketThatKeeps", func(t *testing.T) {
		socket, got := keeper(t, "kept in the safe\n")
		where, err := anchorTo([]string{"unix:" + socket})([]byte(sampleNote))
		if err != nil || where != "unix:"+socket+" in the safe" || <-got != sampleNote {
			t.Errorf("%q %v", where, err)
		}
	})
	for name, answer := range map[string]string{"SocketThatRefuses": "no room\n", "SocketThatSaysNothing": "", "SocketThatIsCutOff": "kep"} {
		t.Run(name, func(t *testing.T) {
			socket, _ := keeper(t, answer)
			if where, err := anchorTo([]string{"unix:" + socket})([]byte(sampleNote)); err == nil {
				t.Errorf("kept in %q", where)
			}
		})
	}
	t.Run("OnePlaceOfTwoFails", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "notes")
		if _, err := anchorTo([]string{file, "syslog:" + file + ".none"})([]byte(sampleNote)); err == nil {
			t.Error("no error")
		}
		if notes, err := readAnchor(file); err != nil || len(notes) != 1 || string(notes[0]) != sampleNote {
			t.Errorf("%q %v", notes, err)
		}
	})
	t.Run("NowhereIsNoAnchor", func(t *testing.T) {
		if anchorTo(nil) != nil {
			t.Error("there is one")
		}
	})
}
