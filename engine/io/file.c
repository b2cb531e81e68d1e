/* file.c - files off the data path, by blocking system calls; both real implementations use these, and the
 * disk helper of posix.c too. Short transfers go on where they stopped, EINTR is hidden; what remains is an
 * enum err. A short read means the end of the file, a write that cannot go on is an error. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "io/loop.h"

#define SECTOR    512u  /* direct reads stop short of this only at the end of the file */
#define BLOCK_MIN 4096u /* what disks rewrite in one piece, whatever smaller unit they accept */

static enum err file_open(struct io *io, int dirfd, const char *path, unsigned flags, int *fd) {
    (void)io;
    must((flags & IO_O_DIR) == 0 || (flags & (IO_O_CREATE | IO_O_DIRECT)) == 0);
    must(path != NULL);
    int how = O_CLOEXEC | (flags & (IO_O_RDONLY | IO_O_DIR) ? O_RDONLY : O_RDWR);
    if (flags & IO_O_CREATE) how |= O_CREAT;
    if (flags & IO_O_EXCL) how |= O_EXCL;
    if (flags & IO_O_DIRECT) how |= O_DIRECT;
    if (flags & IO_O_DIR) how |= O_DIRECTORY;
    do {
        *fd = openat(dirfd, path, how, 0600);
    } while (*fd < 0 && errno == EINTR);
    if (*fd >= 0) return ERR_OK;
    if (errno == EINVAL && flags & IO_O_DIRECT) return ERR_UNSUPPORTED; /* a file system without O_DIRECT */
    return err_of_errno(errno);
}

static void file_close(struct io *io, int fd) {
    (void)io;
    must(close(fd) == 0 || errno != EBADF); /* closed twice: someone else's descriptor would be next */
}

static enum err file_size(struct io *io, int fd, uint64_t *size) {
    struct stat st;
    (void)io;
    must(size != NULL);
    if (fstat(fd, &st) != 0) return err_of_errno(errno);
    must(st.st_size >= 0);
    *size = (uint64_t)st.st_size;
    return ERR_OK;
}

static enum err file_read(struct io *io, int fd, void *buf, size_t n, uint64_t off, size_t *got) {
    (void)io;
    must(got != NULL);
    must(buf != NULL || n == 0);
    *got = 0;
    while (*got < n) {
        ssize_t r = pread(fd, (char *)buf + *got, n - *got, (off_t)(off + *got));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return err_of_errno(errno);
        *got += (size_t)r;
        if (r == 0 || (size_t)r % SECTOR) break;
    }
    must(*got <= n);
    return ERR_OK;
}

static enum err sync_data(int fd) {
    int r;
    must(fd >= 0);
    do {
        r = fdatasync(fd);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err file_write(struct io *io, int fd, const void *buf, size_t n, uint64_t off, bool sync) {
    size_t done = 0;
    (void)io;
    must(fd >= 0);
    must(buf != NULL || n == 0);
    while (done < n) {
        ssize_t r = pwrite(fd, (const char *)buf + done, n - done, (off_t)(off + done));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return err_of_errno(errno);
        if (r == 0) return ERR_IO;
        done += (size_t)r;
    }
    must(done == n);
    return sync ? sync_data(fd) : ERR_OK;
}

static enum err file_allocate(struct io *io, int fd, uint64_t off, uint64_t n) {
    int r;
    (void)io;
    must(fd >= 0);
    must(n > 0);
    do {
        r = fallocate(fd, 0, (off_t)off, (off_t)n);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err file_cut(struct io *io, int fd, uint64_t size) {
    int r;
    (void)io;
    must(fd >= 0);
    must(size <= INT64_MAX);
    do {
        r = ftruncate(fd, (off_t)size);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err file_sync(struct io *io, int fd) {
    int r;
    (void)io;
    must(fd >= 0);
    do {
        r = fsync(fd);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err file_rename(struct io *io, int dirfd, const char *from, const char *to) {
    (void)io;
    must(from != NULL && to != NULL);
    return renameat(dirfd, from, dirfd, to) == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err file_unlink(struct io *io, int dirfd, const char *path) {
    (void)io;
    must(path != NULL && *path);
    return unlinkat(dirfd, path, 0) == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err dir_make(struct io *io, int dirfd, const char *path) {
    (void)io;
    must(path != NULL && *path);
    return mkdirat(dirfd, path, 0700) == 0 ? ERR_OK : err_of_errno(errno);
}

static enum err names_add(struct io_dirent_list *l, const char *name) {
    if ((l->count & (l->count - 1)) == 0) { /* room doubles at powers of two */
        size_t room = l->count ? l->count * 2 : 1;
        char(*names)[64] = realloc(l->names, room * sizeof *names);
        if (!names) return ERR_NOMEM;
        l->names = names;
    }
    must(l->names != NULL);
    int n = snprintf(l->names[l->count], sizeof *l->names, "%s", name);
    if (n >= (int)sizeof *l->names) snprintf(l->names[l->count], sizeof *l->names, "?");
    l->count++;
    return ERR_OK;
}

static enum err dir_list(struct io *io, int fd, struct io_dirent_list *out) {
    (void)io;
    enum err e = ERR_OK;
    must(out != NULL);
    *out = (struct io_dirent_list){0};
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir() takes the descriptor along */
    if (own < 0) return err_of_errno(errno);
    DIR *dir = fdopendir(own);
    if (!dir) {
        close(own);
        return ERR_NOMEM;
    }
    struct dirent *entry;
    for (errno = 0; !e && (entry = readdir(dir)); errno = 0) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || (entry->d_name[1] == '.' && !entry->d_name[2])))
            continue;
        e = names_add(out, entry->d_name);
    }
    if (!e && errno) e = err_of_errno(errno);
    closedir(dir);
    if (!e) return ERR_OK;
    free(out->names);
    *out = (struct io_dirent_list){0};
    return e;
}

/* A process that was killed may hold its lock a moment longer, while the kernel ends its ring's requests: so
 * try for half a second. */
static enum err file_lock(struct io *io, int fd) {
    const struct timespec pause = {0, 10000000};
    (void)io;
    must(fd >= 0);
    for (int attempt = 0; attempt < 50; attempt++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return ERR_OK;
        if (errno != EWOULDBLOCK && errno != EINTR) return err_of_errno(errno);
        nanosleep(&pause, NULL);
    }
    return ERR_LOCKED;
}

static const struct fs_kind {
    uint32_t magic;
    const char *name;
    bool network;
} fs_kinds[] = {
    {0xef53, "ext4", false},      {0x58465342, "xfs", false},      {0x9123683e, "btrfs", false},
    {0x01021994, "tmpfs", false}, {0x794c7630, "overlay", false},  {0x2fc12fc1, "zfs", false},
    {0xf2f52010, "f2fs", false},  {0xca451a4e, "bcachefs", false}, {0x65735546, "fuse", true},
    {0x6969, "nfs", true},        {0xff534d42, "cifs", true},      {0xfe534d42, "smb2", true},
    {0x517b, "smb", true},        {0x01021997, "9p", true},        {0x00c36400, "ceph", true},
    {0x5346414f, "afs", true},    {0x01161970, "gfs2", true},      {0x7461636f, "ocfs2", true},
    {0x0bd00bd0, "lustre", true}, {0x4d44, "vfat", false},         {0x2011bab0, "exfat", false},
    {0x858458f6, "ramfs", false}, {0x5346544e, "ntfs", false},     {0x7366746e, "ntfs3", false},
};

/* A descriptor opened O_DIRECT on the file, or on an unnamed one in the directory; -1 when the file system
 * has none. */
static int reopen_direct(int fd, bool is_dir) {
    char path[32];
    must(fd >= 0);
    if (is_dir) return openat(fd, ".", O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
}

static uint32_t block_of(int fd) {
    struct statx sx = {0};
    uint32_t block = BLOCK_MIN;
    must(fd >= 0);
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) != 0 || !(sx.stx_mask & STATX_DIOALIGN))
        return block;
    if (sx.stx_dio_offset_align > block) block = sx.stx_dio_offset_align;
    if (sx.stx_dio_mem_align > block) block = sx.stx_dio_mem_align;
    return block;
}

static enum err fs_of(struct io *io, int fd, struct io_fs *out) {
    struct statfs fs;
    struct stat st;
    (void)io;
    must(out != NULL);
    if (fstatfs(fd, &fs) != 0 || fstat(fd, &st) != 0) return err_of_errno(errno);
    *out = (struct io_fs){.free_bytes = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize, .block = BLOCK_MIN};
    snprintf(out->type, sizeof out->type, "0x%x", (unsigned)fs.f_type);
    for (size_t i = 0; i < sizeof fs_kinds / sizeof *fs_kinds; i++) {
        if (fs_kinds[i].magic != (uint32_t)fs.f_type) continue;
        snprintf(out->type, sizeof out->type, "%s", fs_kinds[i].name);
        out->network = fs_kinds[i].network;
    }
    int direct = reopen_direct(fd, S_ISDIR(st.st_mode));
    out->direct = direct >= 0;
    out->block = block_of(direct >= 0 ? direct : fd);
    if (direct >= 0) close(direct);
    must(out->block >= BLOCK_MIN && (out->block & (out->block - 1)) == 0);
    return ERR_OK;
}

const struct io_file_ops io_files_real = {
    .open = file_open,
    .close = file_close,
    .size = file_size,
    .read = file_read,
    .write = file_write,
    .allocate = file_allocate,
    .cut = file_cut,
    .sync = file_sync,
    .rename = file_rename,
    .unlink = file_unlink,
    .mkdir = dir_make,
    .list = dir_list,
    .lock = file_lock,
    .fs = fs_of,
};
