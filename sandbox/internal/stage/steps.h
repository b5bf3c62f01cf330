/* The steps of a plan: each op is carried out by the process of its phase. What one
 * changes stands in lock.h, mount.h, net.h and pty.h; here are those that end the
 * building of a cell. Part of cell.c, after plan.h. */
#include <fcntl.h>
#include <linux/stat.h>

#include "stage.h"
#include "sys.h"

static struct msg identity DATA = {0};
static long listener DATA = -1; /* of the tool's filter */

static char w_ns_user[] DATA = "self/ns/user", w_ns_mnt[] DATA = "self/ns/mnt",
	    w_ns_pid[] DATA = "self/ns/pid", w_ns_ipc[] DATA = "self/ns/ipc",
	    w_ns_uts[] DATA = "self/ns/uts", w_ns_net[] DATA = "self/ns/net",
	    w_ns_cgroup[] DATA = "self/ns/cgroup";
static const char *ns_names[] DATA = {w_ns_user, w_ns_mnt, w_ns_pid,   w_ns_ipc,
				      w_ns_uts,	 w_ns_net, w_ns_cgroup};

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
