package llama

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LoadModelBytes loads a GGUF image held in memory. The image is copied to an anonymous, sealed memory file that
// llama.cpp maps, so nothing is written to a disk; the copy lives as long as the model.
func LoadModelBytes(ctx context.Context, image []byte, p ModelParams) (*Model, error) {
	fd, err := unix.MemfdCreate("model.gguf", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("create memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), "model.gguf")
	if _, err := f.Write(image); err != nil {
		f.Close()
		return nil, fmt.Errorf("fill memory file: %w", err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal memory file: %w", err)
	}
	m, err := LoadModel(ctx, fmt.Sprintf("/proc/self/fd/%d", fd), p)
	if err != nil {
		f.Close()
		return nil, err
	}
	m.file = f
	return m, nil
}
