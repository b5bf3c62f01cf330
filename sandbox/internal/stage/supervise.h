/* The processes of a cell that stay: what builds and starts them, and how they wait
 * for the end of the tool or the word of the runner. Part of cell.c, after steps.h. */
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>

#include "stage.h"
#include "sys.h"

#define SIGKILL_ 9
#define SIGTERM_ 15
#define SIGCHLD_ 17

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
