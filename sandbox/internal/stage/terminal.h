/* Leaves the runner's terminal behind: what is at the keyboard is between the
 * runner and its user. */
#include <fcntl.h>

#include "sys.h"

#define ENXIO_ (-6)
#define TIOCNOTTY_ 0x5422

static char w_tty[] DATA = "/dev/tty";

/* Nobody who comes of this process can open its terminal again: the first in a
 * session alone can take one. A session of its own would do that as well, but
 * the kernel gives each new session a new scheduling group, which costs
 * milliseconds on a busy machine; it is what is left where the terminal cannot
 * be opened to let go of it. */
static TEXT long drop_terminal(void) {
	long fd = SYS(openat, AT_FDCWD, w_tty, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (fd == ENXIO_)
		return 0; /* there is none */
	if (fd >= 0) {
		long r = SYS(ioctl, fd, TIOCNOTTY_, 0);
		SYS(close, fd);
		if (r >= 0)
			return 0;
	}
	long r = SYS(setsid);
	return r < 0 ? r : 0;
}
