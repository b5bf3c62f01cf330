/* Checks a plan before anything acts on it: bounds, codes, phases and the
 * steps without which a cell is no cell. */
#include "stage.h"
#include "sys.h"

/* For each code: the phases it may stand in, bit n for phase n. A code without
 * a phase is unknown to this stage. */
static uint8_t rules[OP_LAST + 1] DATA = {
    [OP_SETID] = 1,
    [OP_UNSHARE] = 1,
    [OP_MAP] = 1,
    [OP_BOUNDS] = 1,
    [OP_JOIN] = 1,
    [OP_TIMENS] = 1,
    [OP_PIDMAX] = 2,
    [OP_ROOT] = 2,
    [OP_MKDIR] = 2,
    [OP_SYMLINK] = 2,
    [OP_FILE] = 2,
    [OP_SECRET] = 2,
    [OP_TREE] = 2,
    [OP_TMPFS] = 2,
    [OP_OVERLAY] = 2,
    [OP_PROC] = 2,
    [OP_HOSTNAME] = 2,
    [OP_LO] = 2,
    [OP_ROUTE] = 2,
    [OP_LISTEN] = 2,
    [OP_PIVOT] = 2,
    [OP_PTY] = 2,
    [OP_TTY] = 4,
    [OP_KEYRING] = 4,
    [OP_RLIMIT] = 4,
    [OP_UMASK] = 4,
    [OP_NICE] = 4,
    [OP_CHDIR] = 4,
    [OP_CAPS] = 4,
    [OP_NNP] = 4,
    [OP_LANDLOCK] = 4,
    [OP_CLOSE] = 4,
    [OP_SECCOMP] = 4,
    [OP_BARRIER] = 4,
    [OP_REPORT] = 4,
    [OP_EXEC] = 4,
};

/* Steps that must stand exactly once, in this order. The report follows the
 * filter, and nothing but the working directory stands between it and the end,
 * which is BARRIER in the plan of a cell that is prepared for a later call. */
static uint8_t backbone[] DATA = {OP_UNSHARE, OP_MAP,  OP_BOUNDS, OP_ROOT,    OP_PROC,	OP_PIVOT, OP_KEYRING,
				   OP_CAPS,    OP_NNP, OP_CLOSE,  OP_SECCOMP, OP_REPORT, OP_EXEC};
#define BONES_BEFORE_END (sizeof backbone - 1)

static TEXT int text_ok(const char *blob, uint64_t size, uint64_t off, uint64_t len) {
	return off < size && len < size - off && blob[off + len] == 0;
}

/* Words of argv and environment: count NUL-terminated strings that fill the
 * reference exactly. */
static TEXT int words_ok(const char *blob, uint64_t size, uint64_t ref, uint32_t count) {
	uint64_t off = ref >> 32, len = ref & 0xffffffffu, n = 0;
	if (!text_ok(blob, size, off, len) || count > PLAN_MAX_ARGS)
		return 0;
	for (uint64_t i = 0; i < len; i++)
		n += blob[off + i] == 0;
	return n == count && (len == 0 || blob[off + len - 1] == 0);
}

static TEXT int op_ok(const struct header *h, const struct op *o, const char *blob) {
	if (o->code == 0 || o->code > OP_LAST || rules[o->code] == 0)
		return 0;
	uint32_t phase = o->flags & PHASE_MASK;
	if (phase > 2 || !(rules[o->code] >> phase & 1))
		return 0;
	if (o->flags & ~(PHASE_MASK | FLAG_FD | FLAG_UPPER | FLAG_NOTIFY | FLAG_FAIL))
		return 0;
	if ((o->flags & FLAG_FD) &&
	    (o->a >= h->nfds || (o->code != OP_TREE && o->code != OP_EXEC && o->code != OP_BARRIER && o->code != OP_JOIN &&
				 o->code != OP_SECRET)))
		return 0;
	if ((o->flags & FLAG_UPPER) && o->code != OP_OVERLAY)
		return 0;
	if ((o->flags & FLAG_NOTIFY) && o->code != OP_SECCOMP)
		return 0;
	if (o->code == OP_PTY && (o->a - 1 > 65534 || o->b - 1 > 65534))
		return 0;
	if (o->code == OP_LISTEN && (o->a == 0 || o->a > 65535 || o->b > 1))
		return 0;
	if ((o->code == OP_JOIN || o->code == OP_SECRET) && !(o->flags & FLAG_FD))
		return 0;
	if (!text_ok(blob, h->blob, o->off, o->len))
		return 0;
	if (!text_ok(blob, h->blob, o->x[3] >> 32, o->x[3] & 0xffffffffu))
		return 0;
	if (o->code == OP_SECCOMP && (o->len == 0 || o->len % 8 != 0 || o->len / 8 > 4096))
		return 0;
	if (o->code == OP_EXEC)
		return o->b > 0 && words_ok(blob, h->blob, o->x[0], o->b) &&
		       words_ok(blob, h->blob, o->x[1], (uint32_t)o->x[2]) && o->x[2] <= PLAN_MAX_ARGS;
	return 1;
}

TEXT int stage_check(const void *plan, uint64_t size, int *index) {
	const struct header *h = plan;
	*index = -1;
	if (size < sizeof *h || h->magic != PLAN_MAGIC || h->version != PLAN_VERSION)
		return 1;
	if (h->nops == 0 || h->nops > PLAN_MAX_OPS || h->nfds > PLAN_MAX_FDS || h->nprefix > h->nops)
		return 2;
	if (h->blob == 0 || h->blob > PLAN_MAX_BLOB)
		return 2;
	if (size != sizeof *h + (uint64_t)h->nops * sizeof(struct op) + h->blob)
		return 2;
	for (int i = 0; i < 3; i++)
		if (h->reserved[i])
			return 2;
	if (h->no_proc > 1)
		return 2;
	const struct op *ops = (const void *)(h + 1);
	const char *blob = (const char *)(ops + h->nops);
	uint32_t phase = 0, bone = 0, last = h->nops - 1;
	for (uint32_t i = 0; i < h->nops; i++) {
		*index = (int)i;
		if (!op_ok(h, &ops[i], blob))
			return 3;
		if ((ops[i].flags & PHASE_MASK) < phase)
			return 4;
		phase = ops[i].flags & PHASE_MASK;
		if (bone >= BONES_BEFORE_END && ops[i].code != OP_CHDIR && i != last)
			return 6;
		if (h->no_proc && ops[i].code == OP_PROC)
			return 5;
		if (h->no_proc && bone < sizeof backbone && backbone[bone] == OP_PROC)
			bone++;
		int is_bone = 0;
		for (uint32_t k = 0; k < sizeof backbone; k++)
			is_bone |= backbone[k] == ops[i].code;
		if (is_bone) {
			if (bone >= sizeof backbone || backbone[bone] != ops[i].code)
				return 5;
			bone++;
		}
	}
	*index = (int)last;
	if (ops[last].code == OP_BARRIER) {
		if (bone != BONES_BEFORE_END || ops[last - 1].code != OP_REPORT)
			return 6;
	} else if (bone != sizeof backbone) {
		return 5;
	}
	uint32_t filter = last;
	while (ops[filter].code != OP_SECCOMP)
		filter--;
	return ops[filter + 1].code == OP_REPORT && ops[last].code != OP_CHDIR ? 0 : 6;
}
