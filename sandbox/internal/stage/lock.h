/* Identity, capabilities, limits and filters. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "stage.h"
#include "sys.h"

/* procfs, held since before any mount was made. */
static int stage_procfd DATA = -1;

static char w_setgroups[] DATA = "self/setgroups", w_deny[] DATA = "deny",
	    w_uid_map[] DATA = "self/uid_map", w_gid_map[] DATA = "self/gid_map",
	    w_top[] DATA = "/", w_pid_max[] DATA = "sys/kernel/pid_max";

static TEXT long write_proc(const char *name, const char *text, uint64_t n) {
	long fd = SYS(openat, stage_procfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	long r = SYS(write, fd, text, n);
	SYS(close, fd);
	return r < 0 ? r : r == (long)n ? 0 : -5;
}

static TEXT uint64_t decimal(char *to, uint32_t n) {
	char d[12];
	uint64_t k = 0, len = 0;
	do
		d[k++] = (char)('0' + n % 10);
	while (n /= 10);
	while (k)
		to[len++] = d[--k];
	return len;
}

/* Changing the user id clears the dumpable flag; the flag is set again because
 * the id maps below belong to root otherwise. */
static TEXT long op_setid(uint32_t uid, uint32_t gid) {
	if (uid == 0 || gid == 0)
		return -22;
	long r = SYS(setgroups, 0, 0);
	if (r >= 0)
		r = SYS(setresgid, gid, gid, gid);
	if (r >= 0)
		r = SYS(setresuid, uid, uid, uid);
	if (r >= 0)
		r = SYS(prctl, PR_SET_DUMPABLE, 1);
	return r;
}

/* volatile: the compiler would fold it into a constant of its own section */
static volatile char w_one[] DATA = " 1";

static TEXT long write_map(const char *name, uint32_t id) {
	char b[40];
	uint64_t n = decimal(b, id);
	b[n++] = w_one[0];
	n += decimal(b + n, id);
	for (int i = 0; i < 2; i++)
		b[n++] = w_one[i];
	return write_proc(name, b, n);
}

/* After this nobody of the same user may inspect the stage. Earlier, the maps
 * could not be written. */
static TEXT long op_map(uint32_t uid, uint32_t gid) {
	if (uid == 0 || gid == 0)
		return -22;
	long r = write_proc(w_setgroups, w_deny, 4);
	if (r >= 0)
		r = write_map(w_uid_map, uid);
	if (r >= 0)
		r = write_map(w_gid_map, gid);
	if (r >= 0)
		r = SYS(prctl, PR_SET_DUMPABLE, 0);
	return r;
}

/* Sends a message with a descriptor to the runner. */
static TEXT long send_fd(int to, struct msg *m, long fd) {
	struct {
		uint64_t len;
		int32_t level, type;
		int32_t fd, pad;
	} c = {20, 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, (int32_t)fd, 0};
	struct {
		void *base;
		uint64_t len;
	} v = {m, sizeof *m};
	struct {
		void *name;
		uint32_t namelen, pad;
		void *iov;
		uint64_t niov;
		void *control;
		uint64_t ncontrol;
		int32_t flags, pad2;
	} h = {0, 0, 0, &v, 1, &c, sizeof c, 0, 0};
	long r = SYS(sendmsg, to, &h, 0);
	return r < 0 ? r : 0;
}

/* Receives one descriptor, and nothing else with it. */
static TEXT long receive_fd(int from) {
	struct {
		uint64_t len;
		int32_t level, type;
		int32_t fd, pad;
	} c = {0, 0, 0, -1, 0};
	char b;
	struct {
		void *base;
		uint64_t len;
	} v = {&b, 1};
	struct {
		void *name;
		uint32_t namelen, pad;
		void *iov;
		uint64_t niov;
		void *control;
		uint64_t ncontrol;
		int32_t flags, pad2;
	} h = {0, 0, 0, &v, 1, &c, sizeof c, 0, 0};
	long r = SYS(recvmsg, from, &h, 0x40000000 /* MSG_CMSG_CLOEXEC */);
	if (r < 0)
		return r;
	if (r != 1 || h.ncontrol < 20 || c.level != 1 || c.type != 1 || c.fd < 0)
		return -71; /* EPROTO */
	return c.fd;
}

static char w_zero[] DATA = "0", w_offsets[] DATA = "self/timens_offsets";

/* Enters a control group by the descriptor of its list of processes. Done
 * before the namespaces are made, so that the cell's view begins there. */
static TEXT long op_join(uint32_t fd) {
	long r = SYS(write, FD_EXTRA + fd, w_zero, 1);
	return r < 0 ? r : 0;
}

/* Makes the time namespace that the next process is born into, with the given
 * offsets: how long the machine has been up is not the cell's business. */
static TEXT long op_timens(const char *offsets, uint64_t n) {
	long r = SYS(unshare, 0x80 /* CLONE_NEWTIME */);
	return r < 0 ? r : write_proc(w_offsets, offsets, n);
}

static TEXT long op_pidmax(uint32_t n) {
	char b[12];
	return write_proc(w_pid_max, b, decimal(b, n));
}

/* A runner that has been put behind that far already takes its cells with it:
 * nobody but root goes back. */
static TEXT long op_nice(int n) {
	long now = SYS(getpriority, 0, 0); /* 20 less than nothing */
	if (now < 0)
		return now;
	return 20 - now >= n ? 0 : SYS(setpriority, 0, 0, n);
}

static TEXT long op_rlimit(uint32_t resource, uint64_t soft, uint64_t hard) {
	struct {
		uint64_t cur, max;
	} now, want = {soft, hard};
	long r = SYS(prlimit64, 0, resource, 0, &now);
	if (r < 0)
		return r;
	/* never above what the runner itself has */
	if (want.max > now.max)
		want.max = now.max;
	if (want.cur > want.max)
		want.cur = want.max;
	return SYS(prlimit64, 0, resource, &want, 0);
}

/* Takes what exec and changes of ids could give back, from this process and
 * all it will start: the bounding set and, by locked securebits, the special
 * meaning of user id 0. Done once, before the first clone; what the processes
 * hold meanwhile they give up one by one. */
static TEXT long op_bounds(uint64_t securebits) {
	long r = SYS(prctl, PR_SET_SECUREBITS, securebits, 0, 0, 0);
	if (r < 0)
		return r;
	for (uint32_t c = 0; c < 64; c++) {
		r = SYS(prctl, PR_CAPBSET_DROP, c);
		if (r == -22 && c > 0)
			return 0; /* past the last one this kernel has */
		if (r < 0)
			return r;
	}
	return 0;
}

static TEXT long drop_caps(void) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{0, 0, 0}, {0, 0, 0}};
	long r = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (r >= 0)
		r = SYS(capset, &h, d);
	return r;
}

static TEXT long check_caps(uint64_t securebits) {
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{1, 1, 1}, {1, 1, 1}};
	long r = SYS(capget, &h, d);
	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++)
		if (d[i].effective | d[i].permitted | d[i].inheritable)
			return -1;
	for (uint32_t c = 0; c < 64; c++) {
		r = SYS(prctl, PR_CAPBSET_READ, c);
		if (r < 0)
			break;
		if (r != 0)
			return -1;
	}
	return SYS(prctl, PR_GET_SECUREBITS) == (long)securebits ? 0 : -1;
}

static TEXT long op_caps(uint64_t securebits) {
	long r = drop_caps();
	return r < 0 ? r : check_caps(securebits);
}

static TEXT long op_nnp(void) {
	long r = SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (r < 0)
		return r;
	return SYS(prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static TEXT long op_seccomp(const void *filter, uint64_t n, uint64_t flags) {
	struct sock_fprog p = {(unsigned short)(n / 8), (struct sock_filter *)(uintptr_t)filter};
	return SYS(seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}

struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

static TEXT long landlock_rule(long set, uint64_t rights, const char *path) {
	long fd = SYS(openat, AT_FDCWD, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	struct beneath b = {rights, (int32_t)fd};
	long r = SYS(landlock_add_rule, set, 1 /* path beneath */, &b, 0);
	SYS(close, fd);
	return r;
}

struct ruleset {
	uint64_t fs, net, scoped;
};

/* What changes the file system may be done below the given directories only,
 * which are NUL-terminated; moving between directories stays as the mounts have
 * it. Ports and what lies outside of the cell's own scope are closed, as far as
 * the kernel's version of Landlock knows them: it takes no longer a set than it
 * knows. */
static TEXT long op_landlock(const struct ruleset *want, const char *paths, uint64_t n) {
	const uint64_t refer = 1u << 13;
	const char *end = paths + n;
	struct ruleset attr = {want->fs | refer, want->net, want->scoped};
	uint64_t size = attr.scoped ? 24 : attr.net ? 16 : 8;
	long set = SYS(landlock_create_ruleset, &attr, size, 0);
	if (set < 0)
		return set;
	long r = landlock_rule(set, refer, w_top);
	while (r >= 0 && paths < end) {
		/* a file takes no rights that only directories have */
		r = landlock_rule(set, attr.fs, paths);
		while (*paths++)
			;
	}
	if (r >= 0)
		r = SYS(landlock_restrict_self, set, 0);
	SYS(close, set);
	return r;
}

/* What the two supervising processes of a cell may still do: wait, read a
 * command, report, kill, end. Anything else ends them and the cell. */
static TEXT long lock_supervisor(void) {
#define ALLOW(n) {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_##n}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}
	static struct sock_filter f[] DATA = {
	    {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4},
	    {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, STAGE_AUDIT_ARCH},
	    {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
	    {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
	    ALLOW(ppoll),
	    ALLOW(read),
	    ALLOW(write),
	    ALLOW(wait4),
	    ALLOW(kill),
	    ALLOW(exit_group),
	    ALLOW(restart_syscall),
	    {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
	};
#undef ALLOW
	long r = drop_caps();
	if (r >= 0)
		r = op_nnp();
	return r < 0 ? r : op_seccomp(f, sizeof f, 0);
}

static TEXT void reset_signals(void) {
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} dfl = {0, 0, 0, 0};
	for (int s = 1; s <= 64; s++)
		if (s != 9 && s != 19)
			SYS(rt_sigaction, s, &dfl, 0, 8);
	uint64_t none = 0;
	SYS(rt_sigprocmask, 2, &none, 0, 8);
}
