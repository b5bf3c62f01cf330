//go:build linux

package sandbox

// probeExit is the exit code of probeProgram.
const probeExit = 42

// probeProgram is a complete ELF program for arm64 that calls
// exit_group(probeExit).
var probeProgram = elfProgram(0xb7, []byte{
	0x40, 0x05, 0x80, 0xd2, // mov x0, 42
	0xc8, 0x0b, 0x80, 0xd2, // mov x8, SYS_exit_group (94)
	0x01, 0x00, 0x00, 0xd4, // svc 0
	0x00, 0x00, 0x20, 0xd4, // brk 0
})
