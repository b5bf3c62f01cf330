/* The sealed plan that this process carries out, its texts, and what the process
 * says when a step fails. Part of cell.c, after mount.h. */
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/mman.h>

#include "stage.h"
#include "sys.h"

#define SEALS (1 | 2 | 4 | 8) /* seal, shrink, grow, write */

static const struct header *plan DATA = 0;
static const struct op *ops DATA = 0;
static const char *blob DATA = 0;
static int reports DATA = FD_CONTROL; /* descriptor for messages of this process */

static TEXT void __attribute__((noreturn)) leave(int code) {
	for (;;)
		SYS(exit_group, code);
}

static TEXT void __attribute__((noreturn)) fail(int index, uint32_t code, long err) {
	struct msg m = {.type = MSG_FAIL, .index = index, .code = code, .err = (int32_t)-err};
	SYS(write, reports, &m, sizeof m);
	leave(125);
}

static TEXT const char *text(const struct op *o) { return blob + o->off; }
static TEXT const char *ref(const struct op *o) { return blob + (o->x[3] >> 32); }

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
