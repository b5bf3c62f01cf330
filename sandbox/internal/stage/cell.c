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

#include "check.h"
#include "lock.h"
#include "mount.h"
#include "net.h"
#include "pty.h"
#include "terminal.h"

#define PROC_MAGIC 0x9fa0
#define SEALS (1 | 2 | 4 | 8) /* seal, shrink, grow, write */
#define SIGKILL_ 9
#define SIGTERM_ 15
#define SIGCHLD_ 17
#define AT_EMPTY_PATH_ 0x1000

static const struct header *plan DATA = 0;
static const struct op *ops DATA = 0;
static const char *blob DATA = 0;
static int reports DATA = FD_CONTROL; /* descriptor for messages of this process */
static struct msg identity DATA = {0};
static long listener DATA = -1; /* of the tool's filter */

static char w_proc[] DATA = "/proc", w_ns_user[] DATA = "self/ns/user", w_ns_mnt[] DATA = "self/ns/mnt",
	    w_ns_pid[] DATA = "self/ns/pid", w_ns_ipc[] DATA = "self/ns/ipc",
	    w_ns_uts[] DATA = "self/ns/uts", w_ns_net[] DATA = "self/ns/net",
	    w_ns_cgroup[] DATA = "self/ns/cgroup", w_cell[] DATA = "holdfast-cell",
	    w_idmap[] DATA = "idmap", w_oom[] DATA = "self/oom_score_adj",
	    w_oom_high[] DATA = "800";
static const char *ns_names[] DATA = {w_ns_user, w_ns_mnt, w_ns_pid,   w_ns_ipc,
				      w_ns_uts,	 w_ns_net, w_ns_cgroup};

static TEXT void __attribute__((noreturn)) leave(int code) {
	for (;;)
		SYS(exit_group, code);
}

static TEXT void __attribute__((noreturn)) fail(int index, uint32_t code, long err) {
	struct msg m = {.type = MSG_FAIL, .index = index, .code = code, .err = (int32_t)-err};
	SYS(write, reports, &m, sizeof m);
	leave(125);
}

static TEXT int streq(const char *a, const char *b) {
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static TEXT const char *text(const struct op *o) { return blob + o->off; }
static TEXT const char *ref(const struct op *o) { return blob + (o->x[3] >> 32); }

/* Maps the plan if its descriptor is a memory file that nobody can change. */
static TEXT void load_plan(int fd) {
	long seals = SYS(fcntl, fd, 1034 /* F_GET_SEALS */);
	if (seals < 0 || (seals & SEALS) != SEALS)
		fail(-1, 0, -1);
	struct statx st;
	long r = SYS(statx, fd, w_none, AT_EMPTY_PATH_, STATX_SIZE, &st);
	if (r < 0)
		fail(-1, 0, r);
	if (st.stx_size < sizeof(struct header) || st.stx_size > (16u << 20))
		fail(-1, 0, -22);
	long at = SYS(mmap, 0, st.stx_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
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
static TEXT void open_proc(void) {
	long fd = SYS(openat, AT_FDCWD, w_proc, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		fail(-1, 0, fd);
	long st[32] = {0};
	long r = SYS(fstatfs, fd, st);
	if (r < 0 || st[0] != PROC_MAGIC)
		fail(-1, 0, r < 0 ? r : -22);
	stage_procfd = (int)fd;
}

/* Notes which namespaces the tool will be in, while procfs is at hand. */
static TEXT long note_identity(void) {
	for (int i = 0; i < 7; i++) {
		struct statx st;
		long r = SYS(statx, stage_procfd, ns_names[i], 0, STATX_INO, &st);
		if (r < 0)
			return r;
		identity.data[i] = st.stx_ino;
	}
	return 0;
}

/* Keeps standard streams, the barrier (as 3) and the program (as 4). */
static TEXT long close_rest(void) {
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
	r = SYS(close_range, keep, ~0u, 0);
	if (r >= 0)
		identity.data[7] = keep; /* so many are left */
	return r;
}

static TEXT void split(const char **words, uint64_t at, uint32_t count) {
	const char *p = blob + (at >> 32);
	for (uint32_t i = 0; i < count; i++) {
		words[i] = p;
		while (*p++)
			;
	}
	words[count] = 0;
}

static TEXT int same(const void *a, const void *b, uint64_t n) {
	const uint64_t *p = a, *q = b;
	uint64_t i = 0;
	for (; i < n / 8; i++)
		if (p[i] != q[i])
			return 0;
	for (i *= 8; i < n; i++)
		if (((const char *)a)[i] != ((const char *)b)[i])
			return 0;
	return 1;
}

/* A cell that was prepared for a later call waits here for the plan of that
 * call. It must be, up to this point, the plan that was carried out; what
 * follows in it is carried out next. Silence for ever is no call. */
static TEXT void op_barrier(int index) {
	const struct header *was = plan;
	const struct op *did = ops, *end = &ops[was->nops - 1];
	const char *said = blob;
	long fd = receive_fd(reports);
	if (fd < 0)
		leave(125);
	load_plan((int)fd);
	SYS(close, fd);
	const struct op *e = &ops[plan->nops - 1];
	if (plan->nops < was->nops || plan->nprefix != was->nops - 1 || plan->nfds != was->nfds ||
	    plan->blob < was->blob || !same(ops, did, plan->nprefix * sizeof *ops) || !same(blob, said, was->blob) ||
	    e->code != OP_EXEC || (e->flags & FLAG_FD) != (end->flags & FLAG_FD) || e->a != end->a)
		fail(index, OP_BARRIER, -116 /* ESTALE */);
}

/* Tells the runner that everything is done but the last steps. The listener
 * went to it before, so that it is kept nowhere else by then. Then waits for its word, which for a
 * prepared cell is a plan; anything else, or silence for ever, is no. */
static TEXT long op_report(void) {
	long r = 0;
	if (listener >= 0) {
		struct msg m = {.type = MSG_LISTENER};
		r = send_fd(reports, &m, listener);
		if (r >= 0)
			r = SYS(close, listener);
	}
	identity.type = MSG_REPORT;
	if (r >= 0)
		r = SYS(write, reports, &identity, sizeof identity);
	char go = 0;
	if (r >= 0 && ops[plan->nops - 1].code != OP_BARRIER && (SYS(read, reports, &go, 1) != 1 || go != 'G'))
		leave(125);
	return r < 0 ? r : 0;
}

static TEXT void __attribute__((noreturn)) op_exec(int index, const struct op *o) {
	const char *argv[PLAN_MAX_ARGS + 1], *env[PLAN_MAX_ARGS + 1];
	split(argv, o->x[0], o->b);
	split(env, o->x[1], (uint32_t)o->x[2]);
	if (o->flags & FLAG_FAIL)
		fail(index, o->code, -125);
	long r;
	if (o->flags & FLAG_FD)
		r = SYS(execveat, 4, w_none, argv, env, AT_EMPTY_PATH_);
	else
		r = SYS(execve, text(o), argv, env);
	struct msg m = {.type = MSG_NOEXEC, .index = index, .code = OP_EXEC, .err = (int32_t)-r};
	SYS(write, reports, &m, sizeof m);
	leave(125);
}

static TEXT long sethostname_(const struct op *o) { return SYS(sethostname, text(o), o->len); }

static TEXT long carry_out(const struct op *o) {
	switch (o->code) {
	case OP_SETID:
		return op_setid(o->a, o->b);
	case OP_UNSHARE:
		return SYS(unshare, o->x[0]);
	case OP_MAP:
		return op_map(o->a, o->b);
	case OP_BOUNDS:
		return op_bounds(o->x[0]);
	case OP_JOIN:
		return op_join(o->a);
	case OP_TIMENS:
		return op_timens(text(o), o->len);
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
	case OP_SECRET:
		return op_secret(o, text(o));
	case OP_TREE:
		return op_tree(o, text(o), ref(o));
	case OP_TMPFS:
		return op_tmpfs(o, text(o));
	case OP_OVERLAY:
		return op_overlay(o, text(o));
	case OP_PROC:
		return op_proc(text(o));
	case OP_HOSTNAME:
		return sethostname_(o);
	case OP_LO:
		return op_lo();
	case OP_ROUTE:
		return op_route();
	case OP_LISTEN:
		return op_listen(o);
	case OP_PTY:
		return op_pty(o, text(o));
	case OP_PIVOT:
		return op_pivot();
	case OP_TTY:
		return op_tty();
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
	case OP_NICE:
		return op_nice((int)o->a);
	case OP_CHDIR:
		return SYS(chdir, text(o));
	case OP_CAPS:
		return op_caps(o->x[0]);
	case OP_NNP:
		return op_nnp();
	case OP_LANDLOCK:
		return op_landlock((const struct ruleset *)o->x, text(o), o->len);
	case OP_CLOSE:
		return close_rest();
	case OP_SECCOMP: {
		long r = op_seccomp(text(o), o->len, o->flags & FLAG_NOTIFY ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
		if (o->flags & FLAG_NOTIFY)
			listener = r;
		return r;
	}
	case OP_REPORT:
		return op_report();
	}
	return -38;
}

static TEXT void run_phase(uint32_t phase) {
	for (uint32_t i = 0; i < plan->nops; i++) {
		const struct op *o = &ops[i];
		if ((o->flags & PHASE_MASK) != phase)
			continue;
		if (o->code == OP_EXEC)
			op_exec((int)i, o);
		if (o->flags & FLAG_FAIL)
			fail((int)i, o->code, -125);
		if (o->code == OP_BARRIER) {
			op_barrier((int)i);
			i--; /* its place is that of the next step in the plan of the call */
			continue;
		}
		long r = carry_out(o);
		if (r < 0)
			fail((int)i, o->code, r);
	}
}

static TEXT long spawn(uint64_t flags, int *pidfd) { return SYS(clone, flags | SIGCHLD_, 0, pidfd, 0, 0); }

/* Lets go of everything but the given descriptors, in ascending order. */
static TEXT void keep_only(uint32_t a, uint32_t b) {
	uint32_t lo = a < b ? a : b, hi = a < b ? b : a;
	if (lo > 0)
		SYS(close_range, 0, lo - 1, 0);
	if (hi > lo + 1)
		SYS(close_range, lo + 1, hi - 1, 0);
	SYS(close_range, hi + 1, ~0u, 0);
}

static TEXT void __attribute__((noreturn)) tool(void) {
	reports = FD_BARRIER;
	/* a group of its own: kill(0) must not reach the supervisors. With a terminal
	 * it leads a session of its own, which no leader of a group can. */
	long r = peer < 0 ? SYS(setpgid, 0, 0) : 0;
	if (r < 0)
		fail(-1, 0, r);
	reset_signals();
	run_phase(2);
	leave(125);
}

/* Obeys the runner: T asks every process of the cell to end, K ends them. */
static TEXT void obey(void) {
	char c = 0;
	if (SYS(read, FD_CONTROL, &c, 1) != 1)
		leave(125); /* the runner is gone; the cell dies with process 1 */
	SYS(kill, -1, c == 'T' ? SIGTERM_ : SIGKILL_);
}

/* Reaps whatever has ended; reports and leaves once the tool has. */
static TEXT void reap(long tool_pid) {
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

static TEXT void __attribute__((noreturn)) supervise_tool(long pid, long sigfd) {
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

static TEXT void __attribute__((noreturn)) init_process(void) {
	/* slave would still let mounts of the host in */
	long r = SYS(mount, 0, w_root, 0, 0x4000 | 0x40000 /* MS_REC | MS_PRIVATE */, 0);
	if (r < 0)
		fail(-1, 0, r);
	uint64_t chld = 1ull << (SIGCHLD_ - 1);
	long sigfd = SYS(signalfd4, -1, &chld, 8, O_CLOEXEC);
	if (sigfd < 0)
		fail(-1, 0, sigfd);
	run_phase(1);
	long pid = spawn(0, 0);
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

/* Watches over process 1 until it can do so itself: while it builds, it hears
 * nobody. When the runner hangs up or dies, process 1 is ended. A runner that has
 * heard that process 1 supervises ends this process, which nobody needs then. */
static TEXT void __attribute__((noreturn)) watch_init(long pid, int pidfd) {
	struct pollfd p[2] = {{FD_CONTROL, 0, 0}, {pidfd, POLLIN, 0}};
	while (SYS(ppoll, p, 2, 0, 0, 8) <= 0)
		;
	if (!p[1].revents)
		SYS(kill, pid, SIGKILL_);
	leave(125);
}

static TEXT void __attribute__((noreturn)) stage(void) {
	reports = FD_CONTROL;
	load_plan(FD_PLAN);
	long r = SYS(close_range, FD_EXTRA + plan->nfds, ~0u, 0);
	if (r < 0)
		fail(-1, 0, r);
	open_proc();
	/* when the host runs out of memory, a cell goes before what runs it */
	r = write_proc(w_oom, w_oom_high, 3);
	if (r < 0)
		fail(-1, 0, r);
	r = drop_terminal();
	if (r < 0)
		fail(-1, 0, r);
	/* The supervisors take no signal but KILL: a key pressed at the runner's
	 * terminal is the runner's business. */
	uint64_t all = ~0ull;
	SYS(rt_sigprocmask, 2, &all, 0, 8);
	run_phase(0);
	/* process 1 becomes the runner's child, as this process is: the runner waits
	 * for the end of the cell without anyone between */
	int pidfd = -1;
	long pid = spawn(CLONE_PARENT | CLONE_PIDFD, &pidfd);
	if (pid < 0)
		fail(-1, 0, pid);
	if (pid == 0)
		init_process();
	keep_only(FD_CONTROL, (uint32_t)pidfd);
	r = lock_supervisor();
	if (r < 0)
		fail(-1, 0, r);
	watch_init(pid, pidfd);
}

/* Holds a new user namespace open while the runner, as root, writes its maps
 * and takes a descriptor of it for idmapped mounts. */
static TEXT void __attribute__((noreturn)) hold_namespace(void) {
	char c = 'R';
	reports = FD_CONTROL;
	long r = SYS(unshare, CLONE_NEWUSER);
	if (r < 0)
		fail(-1, OP_UNSHARE, r);
	SYS(write, FD_CONTROL, &c, 1);
	SYS(read, FD_CONTROL, &c, 1);
	leave(0);
}

static TEXT void enter(int argc, char **argv) {
	if (argc < 1 || !argv || !argv[0] || !streq(argv[0], w_cell))
		return;
	if (argc == 2 && streq(argv[1], w_idmap))
		hold_namespace();
	stage();
}

/* In the whole program. */
__attribute__((constructor(101))) static void holdfast_constructor(int argc, char **argv) { enter(argc, argv); }

/* In the program taken out of it. */
TEXT __attribute__((noreturn, used)) void holdfast_main(long *stack) {
	enter((int)stack[0], (char **)(stack + 1));
	leave(125);
}

#if defined(__x86_64__)
__asm__(".pushsection holdfast_text, \"ax\", @progbits\n"
	".globl holdfast_start\n"
	"holdfast_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call holdfast_main\n"
	"	ud2\n"
	".popsection");
#else
__asm__(".pushsection holdfast_text, \"ax\", %progbits\n"
	".globl holdfast_start\n"
	"holdfast_start:\n"
	"	mov x0, sp\n"
	"	bl holdfast_main\n"
	"	brk #0\n"
	".popsection");
#endif

extern char __start_holdfast_text[], __stop_holdfast_text[];
extern char __start_holdfast_data[], __stop_holdfast_data[];
extern char holdfast_start[];

struct extent stage_extent(int which) {
	switch (which) {
	case 0:
		return (struct extent){__start_holdfast_text, __stop_holdfast_text - __start_holdfast_text};
	case 1:
		return (struct extent){__start_holdfast_data, __stop_holdfast_data - __start_holdfast_data};
	}
	return (struct extent){holdfast_start, 0};
}
