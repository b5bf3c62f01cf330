package stage

// machine is EM_X86_64.
const machine = 0x3e
