/* A terminal of the cell's own: a file system of pseudo-terminals that nobody else
 * sees. The runner holds the other end of the first one. */
#include <fcntl.h>
#include <linux/mount.h>

#include "stage.h"
#include "sys.h"

#define TIOCSCTTY_ 0x540E
#define TIOCSWINSZ_ 0x5414
#define TIOCSPTLCK_ 0x40045431
#define TIOCGPTPEER_ 0x5441

static char w_devpts[] DATA = "devpts", w_ptmxmode[] DATA = "ptmxmode", w_max[] DATA = "max", w_0600[] DATA = "600",
	    w_0666[] DATA = "666", w_sixteen[] DATA = "16", w_ptmx[] DATA = "ptmx";
static long peer DATA = -1; /* the tool's end */

/* Opens the other end of a master, to which nothing else is named. */
static TEXT long open_peer(long master, const struct op *o) {
	int locked = 0;
	long r = SYS(ioctl, master, TIOCSPTLCK_, &locked);
	if (r < 0)
		return r;
	peer = SYS(ioctl, master, TIOCGPTPEER_, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (peer < 0)
		return peer;
	uint16_t size[4] = {(uint16_t)o->a, (uint16_t)o->b, 0, 0};
	return SYS(ioctl, peer, TIOCSWINSZ_, size);
}

/* a, b: rows and columns. Process 1 makes the terminal and hands its master to the
 * runner; the other end goes to the tool. */
static TEXT long op_pty(const struct op *o, const char *path) {
	long fs = SYS(fsopen, w_devpts, FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	long r = fs_string(fs, w_mode, w_0600);
	if (r >= 0)
		r = fs_string(fs, w_ptmxmode, w_0666);
	if (r >= 0)
		r = fs_string(fs, w_max, w_sixteen);
	if (r < 0) {
		SYS(close, fs);
		return r;
	}
	long mnt = make_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mnt < 0)
		return mnt;
	long master = SYS(openat, mnt, w_ptmx, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	r = master < 0 ? master : open_peer(master, o);
	if (r >= 0) {
		struct msg m = {.type = MSG_PTY, .code = OP_PTY};
		r = send_fd(FD_CONTROL, &m, master);
	}
	if (master >= 0)
		SYS(close, master);
	if (r < 0) {
		SYS(close, mnt);
		return r;
	}
	return attach(mnt, path);
}

/* The tool leads a session of its own, whose terminal this is, and its streams are
 * the terminal. */
static TEXT long op_tty(void) {
	long r = SYS(setsid);
	if (r >= 0)
		r = SYS(ioctl, peer, TIOCSCTTY_, 0);
	for (int fd = 0; r >= 0 && fd < 3; fd++)
		r = SYS(dup3, peer, fd, 0);
	if (r >= 0)
		r = SYS(close, peer);
	return r;
}
