//go:build linux && (amd64 || arm64)

package probe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// loadSteps use up what is bounded: memory, descriptors, files, output and time.
var loadSteps = map[string]step{
	"touch": func(_, a []string) string { // touches so many MiB
		b := make([]byte, number(a[0])<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		time.Sleep(time.Second)
		runtime.KeepAlive(b)
		return "survived"
	},
	"shared": func(_, a []string) string {
		b, err := unix.Mmap(-1, 0, int(number(a[0]))<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
		if err != nil {
			return name(err)
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		time.Sleep(time.Second)
		return "survived"
	},
	"pairs": func(_, a []string) string {
		for i := range number(a[0]) {
			if _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); err != nil {
				return fmt.Sprintf("%d %s", i, name(err))
			}
		}
		return "ok"
	},
	"opens": func(_, a []string) string { // so many descriptors
		n := 0
		for range number(a[0]) {
			if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
				return fmt.Sprintf("%d %s", n, name(err))
			}
			n++
		}
		return fmt.Sprint(n)
	},
	"files": func(_, a []string) string { // so many empty files
		for i := range number(a[1]) {
			if got := opened(filepath.Join(a[0], strconv.Itoa(int(i))), unix.O_CREAT|unix.O_WRONLY); got != "ok" {
				return fmt.Sprintf("%s after %d", got, i)
			}
		}
		return "ok"
	},
	"fill": func(_, a []string) string { // so many MiB into one file
		f, err := os.Create(a[0])
		if err != nil {
			return name(err)
		}
		defer f.Close()
		b := make([]byte, 1<<20)
		for range number(a[1]) {
			if _, err := f.Write(b); err != nil {
				return name(err)
			}
		}
		return "ok"
	},
	"fsync": func(_, a []string) string {
		f, err := os.Create(a[0])
		if err != nil {
			return name(err)
		}
		for range number(a[1]) {
			f.WriteString("x")
			if err := f.Sync(); err != nil {
				return name(err)
			}
		}
		return "ok"
	},
	"flood": func(_, a []string) string { // denied calls from many threads
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range number(a[0]) / 64 {
					raw(unix.SYS_KEYCTL)
				}
			})
		}
		wg.Wait()
		return "survived"
	},
	"output": func(_, a []string) string {
		line := bytes.Repeat([]byte("x"), 1<<16)
		for range number(a[0]) << 4 {
			os.Stderr.Write(line)
		}
		return "ok"
	},
	"sleep": func(_, a []string) string {
		time.Sleep(time.Duration(number(a[0])) * time.Millisecond)
		return "survived"
	},
}
