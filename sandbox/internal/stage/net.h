/* The network of a cell that has a gate: every address is the cell's own, and
 * what listens there is handed to the runner. There is no way out. */
#include <fcntl.h>
#include <linux/rtnetlink.h>

#include "stage.h"
#include "sys.h"

static char w_lo[] DATA = "lo", w_rmem[] DATA = "sys/net/ipv4/tcp_rmem", w_wmem[] DATA = "sys/net/ipv4/tcp_wmem",
	    w_buffers[] DATA = "4096 65536 131072";

/* Bounds what the kernel buffers for a connection, then brings loopback up. */
static TEXT long op_lo(void) {
	long r = write_proc(w_rmem, w_buffers, sizeof w_buffers - 1);
	if (r >= 0)
		r = write_proc(w_wmem, w_buffers, sizeof w_buffers - 1);
	if (r < 0)
		return r;
	struct {
		char name[16];
		int16_t flags;
		char pad[22];
	} q = {{0}, 0, {0}};
	for (int i = 0; w_lo[i]; i++)
		q.name[i] = w_lo[i];
	long fd = SYS(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = SYS(ioctl, fd, 0x8913 /* SIOCGIFFLAGS */, &q);
	q.flags |= 1; /* IFF_UP */
	if (r >= 0)
		r = SYS(ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &q);
	SYS(close, fd);
	return r;
}

/* Makes every IPv4 address one of this machine, on loopback. */
static TEXT long op_route(void) {
	struct {
		struct nlmsghdr h;
		struct rtmsg r;
		struct rtattr a;
		int32_t index;
	} q = {
	    .h = {sizeof q, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0},
	    .r = {.rtm_family = 2, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL},
	    .a = {8, RTA_OIF},
	    .index = 1, /* loopback, in every network namespace */
	};
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char rest[256];
	} a;
	long fd = SYS(socket, 16 /* AF_NETLINK */, 3 /* SOCK_RAW */ | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	long r = SYS(write, fd, &q, sizeof q);
	if (r >= 0)
		r = SYS(read, fd, &a, sizeof a);
	SYS(close, fd);
	if (r < 0)
		return r;
	return r >= (long)(sizeof a.h + sizeof a.e) && a.h.nlmsg_type == NLMSG_ERROR ? a.e.error : -71; /* EPROTO */
}

/* a: the port; b: 0 for connections to it at every address, 1 for name queries
 * at 127.0.0.1. */
static TEXT long op_listen(const struct op *o) {
	struct {
		uint16_t family, port;
		uint32_t addr;
		char zero[8];
	} at = {2, (uint16_t)(o->a >> 8 | o->a << 8), o->b ? 0x0100007fu : 0, {0}};
	long fd = SYS(socket, 2, (o->b ? 2 : 1) | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	long r = SYS(bind, fd, &at, sizeof at);
	if (r >= 0 && !o->b)
		r = SYS(listen, fd, 64);
	if (r >= 0) {
		struct msg m = {.type = MSG_SOCKET, .index = (int32_t)o->a, .code = OP_LISTEN};
		r = send_fd(FD_CONTROL, &m, fd);
	}
	SYS(close, fd);
	return r;
}
