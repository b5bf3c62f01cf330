//go:build linux

package sandbox_test

// foreignCode calls getpid through another system-call interface and then
// ends with code 0.
var foreignCode = map[string][]byte{
	"int 0x80": {
		0xb8, 20, 0, 0, 0, // mov eax, 20
		0xcd, 0x80, // int 0x80
		0x31, 0xff, // xor edi, edi
		0xb8, 231, 0, 0, 0, // mov eax, exit_group
		0x0f, 0x05, // syscall
	},
	"x32": {
		0xb8, 39, 0, 0, 0x40, // mov eax, x32 | getpid
		0x0f, 0x05,
		0x31, 0xff,
		0xb8, 231, 0, 0, 0,
		0x0f, 0x05,
	},
}
