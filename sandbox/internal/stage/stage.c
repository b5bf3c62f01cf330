/* The stage: a constructor that turns this process into a cell when it was
 * started under the name "holdfast-cell", and does nothing otherwise. It
 * carries out a sealed plan and decides nothing.
 *
 * S0 is the process that was started, S1 process 1 of the cell, S2 becomes the
 * tool. Each op is carried out by the process of its phase. The first failing
 * op is reported and ends the cell. */
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "stage.h"
#include "sys.h"

#define PROC_MAGIC 0x9fa0
#define SEALS (1 | 2 | 4 | 8) /* seal, shrink, grow, write */
#define SIGKILL_ 9
#define SIGTERM_ 15
#define SIGCHLD_ 17
#define AT_EMPTY_PATH_ 0x1000

static const struct header *plan;
static const struct op *ops;
static const char *blob;
static int reports; /* descriptor for messages of this process */
static struct msg identity;
static const char *words[2][PLAN_MAX_ARGS + 1];

static void __attribute__((noreturn)) leave(int code) {
	for (;;)
		SYS(exit_group, code);
}

static void __attribute__((noreturn)) fail(int index, uint32_t code, long err) {
	struct msg m = {.type = MSG_FAIL, .index = index, .code = code, .err = (int32_t)-err};
	SYS(write, reports, &m, sizeof m);
	leave(125);
}

static int streq(const char *a, const char *b) {
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static const char *text(const struct op *o) { return blob + o->off; }
static const char *ref(const struct op *o) { return blob + (o->x[3] >> 32); }

/* Maps the plan if its descriptor is a memory file that nobody can change. */
static void load_plan(void) {
	long seals = SYS(fcntl, FD_PLAN, 1034 /* F_GET_SEALS */);
	if (seals < 0 || (seals & SEALS) != SEALS)
		fail(-1, 0, -1);
	struct statx st;
	long r = SYS(statx, FD_PLAN, "", AT_EMPTY_PATH_, STATX_SIZE, &st);
	if (r < 0)
		fail(-1, 0, r);
	if (st.stx_size < sizeof(struct header) || st.stx_size > (16u << 20))
		fail(-1, 0, -22);
	long at = SYS(mmap, 0, st.stx_size, PROT_READ, MAP_PRIVATE, FD_PLAN, 0);
	if (at < 0 && at > -4096)
		fail(-1, 0, at);
	int index;
	if (stage_check((const void *)at, st.stx_size, &index))
		fail(index, 0, -22);
	plan = (const void *)at;
	ops = (const void *)(plan + 1);
	blob = (const char *)(ops + plan->nops);
}

/* All later access to procfs goes through this descriptor, so that nothing
 * mounted over /proc can redirect a write. */
static void open_proc(void) {
	long fd = SYS(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		fail(-1, 0, fd);
	long st[32] = {0};
	long r = SYS(fstatfs, fd, st);
	if (r < 0 || st[0] != PROC_MAGIC)
		fail(-1, 0, r < 0 ? r : -22);
	stage_procfd = (int)fd;
}

/* Notes which namespaces the tool will be in, while procfs is at hand. */
static long note_identity(void) {
	static const char *const names[] = {"self/ns/user", "self/ns/mnt", "self/ns/pid",   "self/ns/ipc",
					    "self/ns/uts",  "self/ns/net", "self/ns/cgroup"};
	for (int i = 0; i < 7; i++) {
		struct statx st;
		long r = SYS(statx, stage_procfd, names[i], 0, STATX_INO, &st);
		if (r < 0)
			return r;
		identity.data[i] = st.stx_ino;
	}
	return 0;
}

/* Keeps standard streams, the barrier (as 3) and the program (as 4). */
static long close_rest(void) {
	long r = note_identity();
	if (r < 0)
		return r;
	const struct op *e = &ops[plan->nops - 1];
	r = SYS(dup3, FD_BARRIER, 3, O_CLOEXEC);
	if (r < 0)
		return r;
	reports = 3;
	uint32_t keep = 4;
	if (e->flags & FLAG_FD) {
		r = SYS(dup3, FD_EXTRA + e->a, 4, O_CLOEXEC);
		if (r < 0)
			return r;
		keep = 5;
	}
	return SYS(close_range, keep, ~0u, 0);
}

static void split(int which, uint64_t at, uint32_t count) {
	const char *p = blob + (at >> 32);
	for (uint32_t i = 0; i < count; i++) {
		words[which][i] = p;
		while (*p++)
			;
	}
	words[which][count] = 0;
}

static long op_report(void) {
	identity.type = MSG_REPORT;
	long r = SYS(write, reports, &identity, sizeof identity);
	return r < 0 ? r : 0;
}

/* Waits for the word of the runner; anything else, or silence for ever, is no. */
static void __attribute__((noreturn)) op_exec(int index, const struct op *o) {
	split(0, o->x[0], o->b);
	split(1, o->x[1], (uint32_t)o->x[2]);
	char go = 0;
	if (SYS(read, reports, &go, 1) != 1 || go != 'G')
		leave(125);
	long r;
	if (o->flags & FLAG_FD)
		r = SYS(execveat, 4, "", words[0], words[1], AT_EMPTY_PATH_);
	else
		r = SYS(execve, text(o), words[0], words[1]);
	struct msg m = {.type = MSG_NOEXEC, .index = index, .code = OP_EXEC, .err = (int32_t)-r};
	SYS(write, reports, &m, sizeof m);
	leave(125);
}

static long sethostname_(const struct op *o) { return SYS(sethostname, text(o), o->len); }

static long carry_out(const struct op *o) {
	switch (o->code) {
	case OP_SETID:
		return op_setid(o->a, o->b);
	case OP_UNSHARE:
		return SYS(unshare, o->x[0]);
	case OP_MAP:
		return op_map(o->a, o->b);
	case OP_BOUNDS:
		return op_bounds(o->x[0]);
	case OP_PIDMAX:
		return op_pidmax(o->a);
	case OP_ROOT:
		return op_root(o);
	case OP_MKDIR:
		return op_mkdir(o, text(o));
	case OP_SYMLINK:
		return op_symlink(text(o), ref(o));
	case OP_FILE:
		return op_file(o, text(o), ref(o), o->x[3] & 0xffffffffu);
	case OP_TREE:
		return op_tree(o, text(o), ref(o));
	case OP_TMPFS:
		return op_tmpfs(o, text(o));
	case OP_PROC:
		return op_proc(text(o));
	case OP_HOSTNAME:
		return sethostname_(o);
	case OP_PIVOT:
		return op_pivot();
	case OP_KEYRING: {
		/* without keyrings in the kernel there is none to inherit */
		long r = SYS(keyctl, 1 /* join a new anonymous session keyring */, 0);
		return r == -38 ? 0 : r;
	}
	case OP_RLIMIT:
		return op_rlimit(o->a, o->x[0], o->x[1]);
	case OP_UMASK:
		SYS(umask, o->a);
		return 0;
	case OP_CHDIR:
		return SYS(chdir, text(o));
	case OP_CAPS:
		return op_caps(o->x[0]);
	case OP_NNP:
		return op_nnp();
	case OP_CLOSE:
		return close_rest();
	case OP_SECCOMP:
		return op_seccomp(text(o), o->len);
	case OP_REPORT:
		return op_report();
	}
	return -38;
}

static void run_phase(uint32_t phase) {
	for (uint32_t i = 0; i < plan->nops; i++) {
		const struct op *o = &ops[i];
		if ((o->flags & PHASE_MASK) != phase)
			continue;
		if (o->flags & FLAG_FAIL)
			fail((int)i, o->code, -125);
		if (o->code == OP_EXEC)
			op_exec((int)i, o);
		long r = carry_out(o);
		if (r < 0)
			fail((int)i, o->code, r);
	}
}

static long spawn(int *pidfd) {
#if defined(__x86_64__)
	return SYS(clone, CLONE_PIDFD | SIGCHLD_, 0, pidfd, 0, 0);
#else
	return SYS(clone, CLONE_PIDFD | SIGCHLD_, 0, pidfd, 0, 0);
#endif
}

/* Lets go of everything but the given descriptors, in ascending order. */
static void keep_only(uint32_t a, uint32_t b) {
	uint32_t lo = a < b ? a : b, hi = a < b ? b : a;
	if (lo > 0)
		SYS(close_range, 0, lo - 1, 0);
	if (hi > lo + 1)
		SYS(close_range, lo + 1, hi - 1, 0);
	SYS(close_range, hi + 1, ~0u, 0);
}

static void __attribute__((noreturn)) tool(void) {
	reports = FD_BARRIER;
	/* a group of its own: kill(0) must not reach the supervisors */
	long r = SYS(setsid);
	if (r < 0)
		fail(-1, 0, r);
	reset_signals();
	run_phase(2);
	leave(125);
}

/* Obeys the runner: T asks every process of the cell to end, K ends them. */
static void obey(void) {
	char c = 0;
	if (SYS(read, FD_CONTROL, &c, 1) != 1)
		leave(125); /* the runner is gone; the cell dies with process 1 */
	SYS(kill, -1, c == 'T' ? SIGTERM_ : SIGKILL_);
}

/* Reaps whatever has ended; reports and leaves once the tool has. */
static void reap(long tool_pid) {
	for (;;) {
		int status = 0;
		long p = SYS(wait4, -1, &status, 1 /* WNOHANG */, 0);
		if (p <= 0)
			return;
		if (p == tool_pid) {
			struct msg m = {.type = MSG_EXIT, .err = status};
			SYS(write, FD_CONTROL, &m, sizeof m);
			leave(0);
		}
	}
}

static void __attribute__((noreturn)) supervise_tool(long pid, long sigfd) {
	char skip[128];
	struct pollfd p[2] = {{FD_CONTROL, POLLIN, 0}, {(int)sigfd, POLLIN, 0}};
	for (;;) {
		if (SYS(ppoll, p, 2, 0, 0, 8) <= 0)
			continue;
		if (p[1].revents) {
			SYS(read, sigfd, skip, sizeof skip);
			reap(pid);
		}
		if (p[0].revents & POLLIN)
			obey();
		else if (p[0].revents)
			leave(125);
	}
}

static void __attribute__((noreturn)) init_process(void) {
	long r = SYS(prctl, PR_SET_PDEATHSIG, SIGKILL_, 0, 0, 0);
	if (r < 0)
		fail(-1, 0, r);
	/* slave would still let mounts of the host in */
	r = SYS(mount, 0, "/", 0, 0x4000 | 0x40000 /* MS_REC | MS_PRIVATE */, 0);
	if (r < 0)
		fail(-1, 0, r);
	uint64_t chld = 1ull << (SIGCHLD_ - 1);
	SYS(rt_sigprocmask, 0, &chld, 0, 8);
	long sigfd = SYS(signalfd4, -1, &chld, 8, O_CLOEXEC);
	if (sigfd < 0)
		fail(-1, 0, sigfd);
	run_phase(1);
	int pidfd = -1;
	long pid = spawn(&pidfd);
	if (pid < 0)
		fail(-1, 0, pid);
	if (pid == 0)
		tool();
	keep_only(FD_CONTROL, (uint32_t)sigfd);
	r = lock_supervisor();
	if (r < 0)
		fail(-1, 0, r);
	struct msg m = {.type = MSG_READY};
	SYS(write, FD_CONTROL, &m, sizeof m);
	supervise_tool(pid, sigfd);
}

static void __attribute__((noreturn)) supervise_init(long pid, int pidfd) {
	struct pollfd p[2] = {{FD_CONTROL, 0, 0}, {pidfd, POLLIN, 0}};
	for (;;) {
		if (SYS(ppoll, p, 2, 0, 0, 8) <= 0)
			continue;
		if (p[1].revents) {
			int status = 0;
			SYS(wait4, pid, &status, 0, 0);
			leave(status == 0 ? 0 : 125);
		}
		if (p[0].revents) {
			SYS(kill, pid, SIGKILL_);
			leave(125);
		}
	}
}

static void __attribute__((noreturn)) stage(void) {
	reports = FD_CONTROL;
	load_plan();
	long r = SYS(close_range, FD_EXTRA + plan->nfds, ~0u, 0);
	if (r < 0)
		fail(-1, 0, r);
	open_proc();
	SYS(setsid);
	run_phase(0);
	int pidfd = -1;
	long pid = spawn(&pidfd);
	if (pid < 0)
		fail(-1, 0, pid);
	if (pid == 0)
		init_process();
	keep_only(FD_CONTROL, (uint32_t)pidfd);
	r = lock_supervisor();
	if (r < 0)
		fail(-1, 0, r);
	supervise_init(pid, pidfd);
}

/* Holds a new user namespace open while the runner, as root, writes its maps
 * and takes a descriptor of it for idmapped mounts. */
static void __attribute__((noreturn)) hold_namespace(void) {
	char c = 'R';
	reports = FD_CONTROL;
	long r = SYS(unshare, CLONE_NEWUSER);
	if (r < 0)
		fail(-1, OP_UNSHARE, r);
	SYS(write, FD_CONTROL, &c, 1);
	SYS(read, FD_CONTROL, &c, 1);
	leave(0);
}

__attribute__((constructor(101))) static void holdfast_cell(int argc, char **argv) {
	if (argc < 1 || !argv || !argv[0] || !streq(argv[0], "holdfast-cell"))
		return;
	if (argc == 2 && streq(argv[1], "idmap"))
		hold_namespace();
	stage();
}
