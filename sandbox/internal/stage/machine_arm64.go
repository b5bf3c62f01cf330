package stage

// machine is EM_AARCH64.
const machine = 0xb7
