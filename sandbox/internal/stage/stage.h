/* The plan as the stage reads it, and the messages it sends. All integers are
 * little-endian. codes.go holds the same numbers; a test compares the two. */
#ifndef HOLDFAST_STAGE_H
#define HOLDFAST_STAGE_H

#include <stdint.h>

#define PLAN_MAGIC 0x314c4c4543465448ull /* "HTFCELL1" */
#define PLAN_VERSION 1u
#define PLAN_MAX_OPS 512u
#define PLAN_MAX_BLOB (8u << 20)
#define PLAN_MAX_FDS 32u
#define PLAN_MAX_ARGS 4096u
#define PLAN_MAX_SECRET (64u << 10)

struct header {
	uint64_t magic;
	uint32_t version, nops, nprefix, nfds;
	uint64_t blob;
	uint64_t no_proc; /* 1: the plan makes no proc, which it must do otherwise */
	uint64_t reserved[3];
};

struct op {
	uint32_t code, flags, a, b;
	uint64_t x[4];
	uint64_t off, len; /* text or bytes in the blob; NUL follows at off+len */
};

enum code {
	OP_UNSHARE = 1,
	OP_MAP = 2,
	OP_TIMENS = 3,
	OP_PIDMAX = 4,
	OP_TREE = 5,
	OP_SETATTR = 6,
	OP_ROOT = 7,
	OP_TMPFS = 8,
	OP_MKDIR = 9,
	OP_SYMLINK = 10,
	OP_FILE = 11,
	OP_OVERLAY = 12,
	OP_PROC = 13,
	OP_MASK = 14,
	OP_DEV = 15,
	OP_HOSTNAME = 16,
	OP_LO = 17,
	OP_ROUTE = 18,
	OP_LISTEN = 19,
	OP_PIVOT = 20,
	OP_DIGEST = 21,
	OP_BARRIER = 22,
	OP_KEYRING = 23,
	OP_RLIMIT = 24,
	OP_CAPS = 25,
	OP_NNP = 26,
	OP_LANDLOCK = 27,
	OP_CLOSE = 28,
	OP_SECCOMP = 29,
	OP_REPORT = 30,
	OP_EXEC = 31,
	OP_SETID = 32,
	OP_UMASK = 33,
	OP_CHDIR = 34,
	OP_BOUNDS = 35,
	OP_NICE = 36,
	OP_JOIN = 37,
	OP_SECRET = 38,
	OP_PTY = 39,
	OP_TTY = 40,
	OP_LAST = 40
};

#define PHASE_MASK 3u          /* flags: 0, 1 or 2, the process that acts */
#define FLAG_FD (1u << 8)      /* the source is passed descriptor FD_EXTRA+a */
#define FLAG_UPPER (1u << 9)   /* the overlay is writable; its upper directory goes to the runner */
#define FLAG_NOTIFY (1u << 10) /* the filter asks the runner, which gets its listener */
#define FLAG_FAIL (1u << 31)   /* fail here; it can only prevent a start */

/* Descriptors the stage is started with. */
enum { FD_CONTROL = 3, FD_BARRIER = 4, FD_PLAN = 5, FD_EXTRA = 6 };

enum message {
	MSG_FAIL = 1,
	MSG_READY = 2,
	MSG_REPORT = 3,
	MSG_NOEXEC = 4,
	MSG_EXIT = 5,
	MSG_LAYER = 6,
	MSG_SOCKET = 7,
	MSG_LISTENER = 8,
	MSG_PTY = 9
};

struct msg {
	uint32_t type;
	int32_t index; /* of the op, or -1 */
	uint32_t code;
	int32_t err; /* errno, or a wait status for MSG_EXIT */
	uint64_t data[8];
};

/* check.h: returns 0, or a positive reason number; *index tells where. */
int stage_check(const void *plan, uint64_t size, int *index);

/* cell.c: where the stage stands in this program: 0 code, 1 data, 2 entry. */
struct extent {
	const void *at;
	uint64_t len;
};
struct extent stage_extent(int which);

#endif
