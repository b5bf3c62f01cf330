//go:build linux && (amd64 || arm64)

package stage_test

import (
	"bytes"
	"debug/elf"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// TestLauncherIsSmallStaticProgram: it must need nothing and carry nothing of
// the program it was taken from.
func TestLauncherIsSmallStaticProgram(t *testing.T) {
	image := stage.Launcher()
	if len(image) > 64<<10 {
		t.Fatalf("launcher has %d bytes", len(image))
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	loads := 0
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			loads++
			if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
				t.Error("a segment is writable and executable")
			}
		}
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("launcher needs %v", p.Type)
		}
	}
	if loads != 2 || f.Type != elf.ET_EXEC {
		t.Fatalf("%d segments, %v", loads, f.Type)
	}
}
