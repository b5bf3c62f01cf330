/* The stage: a constructor that turns this process into a cell when it was
 * started under the name "holdfast-cell", and does nothing otherwise. It
 * carries out a sealed plan and decides nothing.
 *
 * S0 is the process that was started, S1 process 1 of the cell, S2 becomes the
 * tool. Each op is carried out by the process of its phase. The first failing
 * op is reported and ends the cell. */
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>

#include "check.h"
#include "lock.h"
#include "mount.h"
#include "net.h"
#include "pty.h"
#include "terminal.h"

/* each of these needs those above it */
#include "plan.h"
#include "steps.h"
#include "supervise.h"

#define PROC_MAGIC 0x9fa0

static char w_proc[] DATA = "/proc", w_cell[] DATA = "holdfast-cell", w_idmap[] DATA = "idmap",
	    w_oom[] DATA = "self/oom_score_adj", w_oom_high[] DATA = "800";

static TEXT int streq(const char *a, const char *b) {
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
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
