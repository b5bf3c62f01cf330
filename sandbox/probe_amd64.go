//go:build linux

package sandbox

// probeExit is the exit code of probeProgram.
const probeExit = 42

// probeProgram is a complete ELF program for x86-64 that calls
// exit_group(probeExit): one loadable segment, 16 bytes of code.
var probeProgram = elfProgram(0x3e, []byte{
	0xbf, probeExit, 0, 0, 0, // mov edi, probeExit
	0xb8, 231, 0, 0, 0, // mov eax, SYS_exit_group
	0x0f, 0x05, // syscall
	0x0f, 0x0b, // ud2
})
