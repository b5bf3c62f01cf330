/* The file system of a cell. Everything is built by descriptor below a fresh
 * tmpfs, so that no name an attacker could influence is resolved. */
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "stage.h"
#include "sys.h"

#define AT_EMPTY_PATH_ 0x1000
#define AT_RECURSIVE_ 0x8000
#define MNT_DETACH_ 2
#define MS_ROOT_FLAGS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static int rootfd DATA = -1;

static char w_tmpfs[] DATA = "tmpfs", w_proc_fs[] DATA = "proc", w_size[] DATA = "size",
	    w_inodes[] DATA = "nr_inodes", w_mode[] DATA = "mode", w_subset[] DATA = "subset",
	    w_pid[] DATA = "pid", w_hidepid[] DATA = "hidepid", w_invisible[] DATA = "invisible",
	    w_root[] DATA = "/", w_dot[] DATA = ".", w_none[] DATA = "";

static TEXT void put_number(char *to, uint64_t n) {
	char d[24];
	int k = 0;
	do
		d[k++] = (char)('0' + n % 10);
	while (n /= 10);
	while (k)
		*to++ = d[--k];
	*to = 0;
}

static TEXT void put_octal(char *to, uint32_t n) {
	for (int i = 3; i >= 0; i--)
		*to++ = (char)('0' + (n >> (3 * i) & 7));
	*to = 0;
}

static TEXT long fs_string(long fs, const char *key, const char *value) {
	return SYS(fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}

/* Makes a file system and returns a detached mount of it. */
static TEXT long make_mount(long fs, uint64_t attr) {
	long r = SYS(fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0);
	if (r >= 0)
		r = SYS(fsmount, fs, FSMOUNT_CLOEXEC, attr);
	SYS(close, fs);
	return r;
}

static TEXT long make_tmpfs(uint64_t size, uint64_t inodes, uint32_t mode, uint64_t attr) {
	char b[24];
	long fs = SYS(fsopen, w_tmpfs, FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	long r;
	put_number(b, size);
	if ((r = fs_string(fs, w_size, b)) < 0)
		goto bad;
	put_number(b, inodes);
	if ((r = fs_string(fs, w_inodes, b)) < 0)
		goto bad;
	put_octal(b, mode);
	if ((r = fs_string(fs, w_mode, b)) < 0)
		goto bad;
	return make_mount(fs, attr);
bad:
	SYS(close, fs);
	return r;
}

/* Opens a place in the new root. Nothing but the stage has written there. */
static TEXT long open_target(const char *path) {
	struct open_how how = {
	    .flags = O_PATH | O_CLOEXEC,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	return SYS(openat2, rootfd, path, &how, sizeof how);
}

static TEXT long attach(long mnt, const char *path) {
	long to = open_target(path);
	if (to < 0) {
		SYS(close, mnt);
		return to;
	}
	long r = SYS(move_mount, mnt, w_none, to, w_none, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	SYS(close, to);
	SYS(close, mnt);
	return r;
}

static TEXT long op_root(const struct op *o) {
	long mnt = make_tmpfs(o->x[0], o->x[1], 0755, MS_ROOT_FLAGS);
	if (mnt < 0)
		return mnt;
	long r = SYS(move_mount, mnt, w_none, AT_FDCWD, w_root, MOVE_MOUNT_F_EMPTY_PATH);
	if (r < 0)
		return r;
	rootfd = (int)mnt;
	return 0;
}

static TEXT long op_mkdir(const struct op *o, const char *path) {
	return SYS(mkdirat, rootfd, path, o->a);
}

static TEXT long op_symlink(const char *path, const char *to) {
	return SYS(symlinkat, to, rootfd, path);
}

static TEXT long op_file(const struct op *o, const char *path, const char *content, uint64_t n) {
	struct open_how how = {
	    .flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    .mode = o->a,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = SYS(openat2, rootfd, path, &how, sizeof how);
	if (fd < 0)
		return fd;
	long r = 0;
	if (n > 0) {
		r = SYS(write, fd, content, n);
		r = r < 0 ? r : r == (long)n ? 0 : -28;
	}
	SYS(close, fd);
	return r;
}

/* a: the passed descriptor of a memory file, whose content only the tool's user may
 * read. The plan does not hold it, nor how long it is. */
static TEXT long op_secret(const struct op *o, const char *path) {
	struct open_how how = {
	    .flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    .mode = 0400,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = SYS(openat2, rootfd, path, &how, sizeof how);
	if (fd < 0)
		return fd;
	char b[1024];
	long r, at = 0;
	while ((r = SYS(pread64, FD_EXTRA + o->a, b, sizeof b, at)) > 0) {
		at += r;
		if (at > PLAN_MAX_SECRET || SYS(write, fd, b, r) != r) {
			r = -28;
			break;
		}
	}
	memset(b, 0, sizeof b);
	SYS(close, fd);
	return r;
}

/* Compares what was opened with what was approved. */
static TEXT long same_inode(long fd, uint64_t dev, uint64_t ino) {
	struct statx st;
	long r = SYS(statx, fd, w_none, AT_EMPTY_PATH_, STATX_INO, &st);
	if (r < 0)
		return r;
	uint64_t d = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor;
	return d == dev && st.stx_ino == ino ? 0 : -116; /* ESTALE */
}

static TEXT long clone_tree(const char *source) {
	struct open_how how = {
	    .flags = O_PATH | O_CLOEXEC,
	    .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long at = SYS(openat2, AT_FDCWD, source, &how, sizeof how);
	if (at < 0)
		return at;
	long mnt = SYS(open_tree, at, w_none, AT_EMPTY_PATH_ | AT_RECURSIVE_ | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	SYS(close, at);
	return mnt;
}

/* x0: attributes to set; x1, x2: device and inode, if x2 is not 0. */
static TEXT long op_tree(const struct op *o, const char *path, const char *source) {
	long mnt = o->flags & FLAG_FD ? (long)(FD_EXTRA + o->a) : clone_tree(source);
	if (mnt < 0)
		return mnt;
	long r = o->x[2] ? same_inode(mnt, o->x[1], o->x[2]) : 0;
	if (r >= 0) {
		struct mount_attr attr = {.attr_set = o->x[0], .propagation = 0x40000 /* MS_PRIVATE */};
		r = SYS(mount_setattr, mnt, w_none, AT_EMPTY_PATH_ | AT_RECURSIVE_, &attr, sizeof attr);
	}
	if (r < 0) {
		SYS(close, mnt);
		return r;
	}
	return attach(mnt, path);
}

static char w_overlay[] DATA = "overlay", w_userxattr[] DATA = "userxattr", w_lowerdir[] DATA = "lowerdir",
	    w_upperdir[] DATA = "upperdir", w_workdir[] DATA = "workdir", w_index[] DATA = "index",
	    w_xino[] DATA = "xino", w_off[] DATA = "off", w_lower[] DATA = ".lower", w_layer[] DATA = ".layer",
	    w_layer_up[] DATA = ".layer/up", w_layer_work[] DATA = ".layer/work",
	    w_only[] DATA = ".layer/up:.lower";

/* Lays the cell's own layer over what was attached at .lower. The names of the
 * layers are fixed and relative to the new root, so that no name of the host
 * enters the mount table. upper says whether the layer takes changes. */
static TEXT long make_overlay(uint64_t attr, int upper) {
	long r = SYS(mkdirat, rootfd, w_layer_up, 0755);
	if (r >= 0 && upper)
		r = SYS(mkdirat, rootfd, w_layer_work, 0700);
	if (r >= 0)
		r = SYS(fchdir, rootfd);
	if (r < 0)
		return r;
	long fs = SYS(fsopen, w_overlay, FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	r = SYS(fsconfig, fs, FSCONFIG_SET_FLAG, w_userxattr, 0, 0);
	if (r >= 0)
		r = fs_string(fs, w_index, w_off);
	if (r >= 0)
		r = fs_string(fs, w_xino, w_off);
	if (r >= 0)
		r = fs_string(fs, w_lowerdir, upper ? w_lower : w_only);
	if (r >= 0 && upper)
		r = fs_string(fs, w_upperdir, w_layer_up);
	if (r >= 0 && upper)
		r = fs_string(fs, w_workdir, w_layer_work);
	if (r < 0) {
		SYS(close, fs);
		return r;
	}
	return make_mount(fs, attr);
}

/* Lets go of one layer: the overlay holds it by a mount of its own. */
static TEXT long drop_layer(const char *name) {
	long r = SYS(umount2, name, MNT_DETACH_);
	return r < 0 ? r : SYS(unlinkat, rootfd, name, 0x200 /* AT_REMOVEDIR */);
}

/* x0: attributes; FLAG_UPPER: it takes changes, in a directory that the runner
 * can read when the cell is gone. */
static TEXT long op_overlay(const struct op *o, const char *path) {
	int upper = (o->flags & FLAG_UPPER) != 0;
	long mnt = make_overlay(o->x[0], upper);
	if (mnt < 0)
		return mnt;
	long r = 0;
	if (upper) {
		r = SYS(openat, rootfd, w_layer_up, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
		if (r >= 0) {
			long fd = r;
			struct msg m = {.type = MSG_LAYER};
			r = send_fd(FD_CONTROL, &m, fd);
			SYS(close, fd);
		}
	}
	if (r >= 0)
		r = drop_layer(w_layer);
	if (r >= 0)
		r = drop_layer(w_lower);
	if (r < 0) {
		SYS(close, mnt);
		return r;
	}
	return attach(mnt, path);
}

static TEXT long op_tmpfs(const struct op *o, const char *path) {
	long mnt = make_tmpfs(o->x[0], o->x[1], o->a, o->x[2]);
	return mnt < 0 ? mnt : attach(mnt, path);
}

/* A proc of the cell's own pid namespace with nothing but processes in it. It
 * is read-only: a tool may not take back, for one, that it is the first to go
 * when memory runs out. */
static TEXT long op_proc(const char *path) {
	long fs = SYS(fsopen, w_proc_fs, FSOPEN_CLOEXEC);
	if (fs < 0)
		return fs;
	long r = fs_string(fs, w_subset, w_pid);
	if (r >= 0)
		r = fs_string(fs, w_hidepid, w_invisible);
	if (r < 0) {
		SYS(close, fs);
		return r;
	}
	long mnt = make_mount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return mnt < 0 ? mnt : attach(mnt, path);
}

/* The old root is stacked on the new one and detached at once: there is no
 * directory left through which it could be reached. */
static TEXT long op_pivot(void) {
	long r = SYS(fchdir, rootfd);
	if (r >= 0)
		r = SYS(pivot_root, w_dot, w_dot);
	if (r >= 0)
		r = SYS(umount2, w_dot, MNT_DETACH_);
	if (r >= 0)
		r = SYS(chdir, w_root);
	if (r >= 0) {
		struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
		r = SYS(mount_setattr, rootfd, w_none, AT_EMPTY_PATH_, &attr, sizeof attr);
	}
	SYS(close, rootfd);
	rootfd = -1;
	return r;
}
