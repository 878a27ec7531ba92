/*
 * For tests only, loaded with LD_PRELOAD: records every write, sync and change of names below the folders of POWER_ROOTS,
 * with what was there before, so that a "power cut" can take back what never reached the disk (docs/power-cuts.md).
 *
 * POWER_ROOTS   absolute folders, links resolved, parted by ':'
 * POWER_JOURNAL folder for the records, one file a process: a killed process leaves a torn record at the end of its own
 *               file and nowhere else. Records of all files are put in order by the number that POWER_JOURNAL/seq gives.
 * POWER_GRAVES  folder on the same file system: what is unlinked or replaced is linked there, so that it can come back.
 *
 * A write is recorded before it is made, with the old bytes (taking back a write that was never made does no harm);
 * a change of names after it was made (one that is not recorded counts as having reached the disk, which may happen).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAGIC 0x52575031u
#define MAX_ROOTS 8
#define CACHED 4096
#define COMMON_LOCK ((off_t)1 << 61)

enum kind { WRITE = 1, RESIZE, SYNC, SYNCED_WRITE, SYNC_ALL, CREATE, UNLINK, RENAME, LINK, MKDIR, RMDIR, UNSUPPORTED };

/* As journal.ts reads it: little endian, then the three payloads one after the other, padded to 8. */
struct record {
  uint32_t magic, total;
  uint64_t seq;
  uint32_t kind, data_only;
  uint64_t dev, ino, dir, dir2;
  uint64_t a, b, c;
  uint32_t len1, len2, len3, pad;
};

static char roots[MAX_ROOTS][PATH_MAX];
static int root_count = -1;
static char journal_dir[PATH_MAX], grave_dir[PATH_MAX];
static _Atomic uint64_t *sequence;
static pthread_mutex_t inside = PTHREAD_MUTEX_INITIALIZER;
static int journal_fd = -1, lock_fd = -1;
static pid_t owner = 0;
static struct { dev_t dev; ino_t ino; int yes; } cache[CACHED];

static void die(const char *what) {
  static const char head[] = "power shim: ";
  (void)!syscall(SYS_write, 2, head, sizeof head - 1);
  (void)!syscall(SYS_write, 2, what, strlen(what));
  (void)!syscall(SYS_write, 2, "\n", 1);
  abort();
}

static int enabled(void) {
  if (root_count >= 0) return root_count > 0;
  const char *r = getenv("POWER_ROOTS"), *j = getenv("POWER_JOURNAL"), *g = getenv("POWER_GRAVES");
  if (!r || !j || !g) return root_count = 0;
  snprintf(journal_dir, sizeof journal_dir, "%s", j);
  snprintf(grave_dir, sizeof grave_dir, "%s", g);
  char name[PATH_MAX + 8];
  snprintf(name, sizeof name, "%s/seq", journal_dir);
  int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || syscall(SYS_ftruncate, fd, 4096) != 0) die("no sequence");
  void *at = (void *)syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) die("no shared sequence");
  syscall(SYS_close, fd);
  sequence = at;
  int count = 0;
  for (const char *p = r; *p && count < MAX_ROOTS;) {
    size_t n = strcspn(p, ":");
    if (n > 0 && n < PATH_MAX) {
      memcpy(roots[count], p, n);
      roots[count++][n] = 0;
    }
    p += n + (p[n] == ':');
  }
  root_count = count;
  return count > 0;
}

static int below(const char *path, const char *root) {
  size_t n = strlen(root);
  return strncmp(path, root, n) == 0 && (path[n] == 0 || path[n] == '/');
}
static int is_tracked(const char *path) {
  for (int i = 0; i < root_count; i++)
    if (below(path, roots[i])) return 1;
  return 0;
}
/* Where a root itself is made and renamed. */
static int is_parent(const char *path) {
  size_t n = strlen(path);
  for (int i = 0; i < root_count; i++)
    if (strncmp(roots[i], path, n) == 0 && roots[i][n] == '/' && !strchr(roots[i] + n + 1, '/')) return 1;
  return 0;
}

static ssize_t path_of(int fd, char *to) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = syscall(SYS_readlink, link, to, PATH_MAX - 1);
  if (n >= 0) to[n] = 0;
  return n;
}

/* 1 when the descriptor is a file or folder that is recorded. */
static int tracked(int fd, struct stat *st) {
  int kept = errno, yes = 0;
  if (enabled() && fd >= 0 && fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))) {
    if (fd < CACHED && cache[fd].ino == st->st_ino && cache[fd].dev == st->st_dev) yes = cache[fd].yes;
    else {
      char path[PATH_MAX];
      yes = path_of(fd, path) > 0 && (is_tracked(path) || (S_ISDIR(st->st_mode) && is_parent(path)));
      if (fd < CACHED) cache[fd].dev = st->st_dev, cache[fd].yes = yes, cache[fd].ino = st->st_ino;
    }
  }
  errno = kept;
  return yes;
}
static void forget(int fd) {
  if (fd >= 0 && fd < CACHED) cache[fd].ino = 0;
}

/* Absolute, with '.', '..' and doubled '/' taken out; links are not followed below (the roots are given resolved). */
static int absolute(int dirfd, const char *path, char *to) {
  char raw[2 * PATH_MAX];
  if (path[0] == '/') snprintf(raw, sizeof raw, "%s", path);
  else {
    char base[PATH_MAX];
    if (dirfd == AT_FDCWD) {
      if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
    } else if (path_of(dirfd, base) < 0) return 0;
    snprintf(raw, sizeof raw, "%s/%s", base, path);
  }
  size_t n = 0;
  for (const char *p = raw; *p;) {
    while (*p == '/') p++;
    size_t m = strcspn(p, "/");
    if (m == 0) break;
    if (m == 2 && p[0] == '.' && p[1] == '.') {
      while (n > 0 && to[--n] != '/') {}
    } else if (!(m == 1 && p[0] == '.')) {
      if (n + m + 2 >= PATH_MAX) return 0;
      to[n++] = '/';
      memcpy(to + n, p, m);
      n += m;
    }
    p += m;
  }
  to[n] = 0;
  return 1;
}
static int named(int dirfd, const char *path, char *to) {
  return enabled() && path && absolute(dirfd, path, to) && is_tracked(to);
}

static uint64_t folder_of(const char *path) {
  char dir[PATH_MAX];
  struct stat st;
  snprintf(dir, sizeof dir, "%s", path);
  char *slash = strrchr(dir, '/');
  if (!slash) return 0;
  *slash = 0;
  return fstatat(AT_FDCWD, dir[0] ? dir : "/", &st, 0) == 0 ? (uint64_t)st.st_ino : 0;
}

/* --- locks: one byte of a file for each inode, freed by the kernel when its holder is killed; signals wait meanwhile --- */

static void reopen(void) {
  pid_t pid = (pid_t)syscall(SYS_getpid);
  if (owner == pid) return;
  /* After a fork the parent's descriptors would share its locks and its end of file. */
  if (journal_fd >= 0) syscall(SYS_close, journal_fd), syscall(SYS_close, lock_fd);
  char name[PATH_MAX + 64];
  snprintf(name, sizeof name, "%s/%d-%llu.log", journal_dir, pid, (unsigned long long)atomic_fetch_add(sequence, 1));
  int a = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  snprintf(name, sizeof name, "%s/locks", journal_dir);
  int b = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (a < 0 || b < 0) die("no journal");
  /* Out of the way of programs that count or close low descriptors. */
  journal_fd = syscall(SYS_fcntl, a, F_DUPFD_CLOEXEC, 700);
  lock_fd = syscall(SYS_fcntl, b, F_DUPFD_CLOEXEC, 700);
  if (journal_fd < 0) journal_fd = a; else syscall(SYS_close, a);
  if (lock_fd < 0) lock_fd = b; else syscall(SYS_close, b);
  owner = pid;
}

static void turn(off_t byte, short type) {
  struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
  while (syscall(SYS_fcntl, lock_fd, F_OFD_SETLKW, &lock) != 0)
    if (errno != EINTR) die("no lock");
}
struct held { off_t byte; sigset_t signals; int error; };
static void enter(struct held *h, off_t byte) {
  sigset_t all;
  sigfillset(&all);
  h->error = errno;
  pthread_sigmask(SIG_SETMASK, &all, &h->signals);
  pthread_mutex_lock(&inside);
  reopen();
  h->byte = byte;
  turn(byte, F_WRLCK);
}
/* Keeps the errno that the caller set between. */
static void leave(struct held *h) {
  int kept = errno;
  turn(h->byte, F_UNLCK);
  pthread_mutex_unlock(&inside);
  pthread_sigmask(SIG_SETMASK, &h->signals, NULL);
  errno = kept;
}
/* Names are rare enough for one lock for each root. */
static off_t names_lock(const char *path) {
  for (int i = 0; i < root_count; i++)
    if (below(path, roots[i])) return COMMON_LOCK + i;
  return COMMON_LOCK + MAX_ROOTS;
}

/* The caller has entered. */
static uint64_t put(struct record *r, const void *p1, const void *p2, const void *p3) {
  static const char zeros[8];
  size_t body = (size_t)r->len1 + r->len2 + r->len3, pad = (8 - body % 8) % 8;
  r->magic = MAGIC;
  r->total = (uint32_t)(sizeof *r + body + pad);
  r->seq = atomic_fetch_add(sequence, 1);
  struct iovec parts[5] = { { r, sizeof *r }, { (void *)p1, r->len1 }, { (void *)p2, r->len2 }, { (void *)p3, r->len3 }, { (void *)zeros, pad } };
  ssize_t n;
  while ((n = syscall(SYS_writev, journal_fd, parts, 5)) < 0 && errno == EINTR) {}
  if (n != (ssize_t)r->total) die("the journal cannot be written");
  return r->seq;
}

static void unsupported(const char *what) {
  struct held h;
  enter(&h, COMMON_LOCK + MAX_ROOTS);
  struct record r = { .kind = UNSUPPORTED, .len1 = (uint32_t)strlen(what) };
  put(&r, what, NULL, NULL);
  errno = h.error;
  leave(&h);
}

/* --- contents --- */

/* The bytes from `from` to `to`, through whatever the descriptor is; the caller frees. */
static char *bytes(int fd, off_t from, off_t to, uint32_t *length) {
  *length = 0;
  if (to <= from) return NULL;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int in = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
  char *out = malloc((size_t)(to - from));
  if (in < 0 || !out) die("the old bytes cannot be read");
  while (from + *length < to) {
    ssize_t n = syscall(SYS_pread64, in, out + *length, (size_t)(to - from - *length), from + *length);
    if (n < 0) die("the old bytes cannot be read");
    if (n == 0) break;
    *length += (uint32_t)n;
  }
  syscall(SYS_close, in);
  return out;
}

/* The caller has entered the file's lock. */
static uint64_t record_write(int fd, off_t at, size_t length) {
  struct stat st;
  if (fstat(fd, &st) != 0) die("fstat");
  struct record r = { .kind = WRITE, .dev = st.st_dev, .ino = st.st_ino, .a = (uint64_t)at, .b = length, .c = (uint64_t)st.st_size };
  off_t end = at + (off_t)length < st.st_size ? at + (off_t)length : st.st_size;
  char *old = bytes(fd, at, end, &r.len1);
  uint64_t seq = put(&r, old, NULL, NULL);
  free(old);
  return seq;
}
static void record_resize(int fd, off_t size) {
  struct stat st;
  if (fstat(fd, &st) != 0) die("fstat");
  if (st.st_size == size) return;
  struct record r = { .kind = RESIZE, .dev = st.st_dev, .ino = st.st_ino, .a = (uint64_t)size, .c = (uint64_t)st.st_size };
  char *old = bytes(fd, size, st.st_size, &r.len1);
  put(&r, old, NULL, NULL);
  free(old);
}

static off_t place_of(int fd) {
  int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
  struct stat st;
  if (flags & O_APPEND) return fstat(fd, &st) == 0 ? st.st_size : 0;
  return syscall(SYS_lseek, fd, 0, SEEK_CUR);
}
static int is_synced(int fd) { return ((int)syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC) != 0; }

static size_t sum(const struct iovec *iov, int n) {
  size_t total = 0;
  for (int i = 0; i < n; i++) total += iov[i].iov_len;
  return total;
}

/* `offset` -1: where the descriptor stands (or at the end). */
#define WRITING(fd, length, offset, call)                                              \
  struct stat st;                                                                      \
  if (!tracked(fd, &st) || !S_ISREG(st.st_mode)) return (call);                        \
  struct held h;                                                                       \
  enter(&h, (off_t)st.st_ino);                                                         \
  uint64_t seq = record_write(fd, (off_t)(offset) < 0 ? place_of(fd) : (off_t)(offset), length); \
  errno = h.error;                                                                     \
  ssize_t n = (call);                                                                  \
  if (n > 0 && is_synced(fd)) {                                                        \
    int kept = errno;                                                                  \
    struct record r = { .kind = SYNCED_WRITE, .dev = st.st_dev, .ino = st.st_ino, .a = seq }; \
    put(&r, NULL, NULL, NULL);                                                         \
    errno = kept;                                                                      \
  }                                                                                    \
  leave(&h);                                                                           \
  return n;

EXPORT ssize_t write(int fd, const void *data, size_t length) {
  WRITING(fd, length, -1, syscall(SYS_write, fd, data, length))
}
EXPORT ssize_t writev(int fd, const struct iovec *iov, int count) {
  WRITING(fd, sum(iov, count), -1, syscall(SYS_writev, fd, iov, count))
}
EXPORT ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
  WRITING(fd, length, at, syscall(SYS_pwrite64, fd, data, length, at))
}
EXPORT ssize_t pwrite64(int fd, const void *data, size_t length, off_t at) { return pwrite(fd, data, length, at); }
EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at) {
  WRITING(fd, sum(iov, count), at, syscall(SYS_pwritev, fd, iov, count, at, 0))
}
EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int count, off_t at) { return pwritev(fd, iov, count, at); }
EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t at, int flags) {
  struct stat tried;
  if (flags != 0 && tracked(fd, &tried)) unsupported("pwritev2 with flags");
  WRITING(fd, sum(iov, count), at, syscall(SYS_pwritev2, fd, iov, count, at, 0, flags))
}
EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off_t at, int flags) {
  return pwritev2(fd, iov, count, at, flags);
}
EXPORT ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t length, unsigned flags) {
  WRITING(out, length, to ? *to : -1, syscall(SYS_copy_file_range, in, from, out, to, length, flags))
}
EXPORT ssize_t sendfile(int out, int in, off_t *from, size_t length) {
  WRITING(out, length, -1, syscall(SYS_sendfile, out, in, from, length))
}
EXPORT ssize_t sendfile64(int out, int in, off_t *from, size_t length) { return sendfile(out, in, from, length); }

EXPORT int ftruncate(int fd, off_t size) {
  struct stat st;
  if (!tracked(fd, &st)) return (int)syscall(SYS_ftruncate, fd, size);
  struct held h;
  enter(&h, (off_t)st.st_ino);
  record_resize(fd, size);
  errno = h.error;
  int n = (int)syscall(SYS_ftruncate, fd, size);
  leave(&h);
  return n;
}
EXPORT int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
EXPORT int truncate(const char *path, off_t size) {
  char full[PATH_MAX];
  if (!named(AT_FDCWD, path, full)) return (int)syscall(SYS_truncate, path, size);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return -1;
  forget(fd);
  int n = ftruncate(fd, size);
  int kept = errno;
  syscall(SYS_close, fd);
  errno = kept;
  return n;
}
EXPORT int truncate64(const char *path, off_t size) { return truncate(path, size); }

EXPORT int fallocate(int fd, int mode, off_t at, off_t length) {
  struct stat st;
  if (!tracked(fd, &st)) return (int)syscall(SYS_fallocate, fd, mode, at, length);
  if (mode & ~FALLOC_FL_KEEP_SIZE) unsupported("fallocate that changes what is there");
  struct held h;
  enter(&h, (off_t)st.st_ino);
  if (fstat(fd, &st) == 0 && mode == 0 && at + length > st.st_size) record_resize(fd, at + length);
  errno = h.error;
  int n = (int)syscall(SYS_fallocate, fd, mode, at, length);
  leave(&h);
  return n;
}
EXPORT int fallocate64(int fd, int mode, off_t at, off_t length) { return fallocate(fd, mode, at, length); }
/* Tells its error as its answer. */
EXPORT int posix_fallocate(int fd, off_t at, off_t length) {
  int kept = errno, n = fallocate(fd, 0, at, length), error = n == 0 ? 0 : errno;
  errno = kept;
  return error;
}
EXPORT int posix_fallocate64(int fd, off_t at, off_t length) { return posix_fallocate(fd, at, length); }

/* --- syncs: what was written before one began is on the disk when it has ended well --- */

static int syncing(int fd, int data_only, long number) {
  struct stat st;
  if (!tracked(fd, &st)) return (int)syscall(number, fd);
  char path[PATH_MAX];
  off_t byte = (off_t)st.st_ino;
  if (S_ISDIR(st.st_mode) && path_of(fd, path) > 0) byte = names_lock(path);
  struct held h;
  enter(&h, byte);
  uint64_t upto = atomic_load(sequence);
  errno = h.error;
  leave(&h);
  int n = (int)syscall(number, fd);
  if (n != 0) return n;
  enter(&h, byte);
  struct record r = { .kind = SYNC, .data_only = (uint32_t)data_only, .dev = st.st_dev, .ino = st.st_ino, .a = upto };
  put(&r, NULL, NULL, NULL);
  errno = h.error;
  leave(&h);
  return n;
}
EXPORT int fsync(int fd) { return syncing(fd, 0, SYS_fsync); }
EXPORT int fdatasync(int fd) { return syncing(fd, 1, SYS_fdatasync); }

static void all_synced(uint64_t upto) {
  struct held h;
  enter(&h, COMMON_LOCK + MAX_ROOTS);
  struct record r = { .kind = SYNC_ALL, .a = upto };
  put(&r, NULL, NULL, NULL);
  errno = h.error;
  leave(&h);
}
EXPORT int syncfs(int fd) {
  uint64_t upto = enabled() ? atomic_load(sequence) : 0;
  int n = (int)syscall(SYS_syncfs, fd);
  if (n == 0 && enabled()) all_synced(upto);
  return n;
}
EXPORT void sync(void) {
  uint64_t upto = enabled() ? atomic_load(sequence) : 0;
  syscall(SYS_sync);
  if (enabled()) all_synced(upto);
}

EXPORT void *mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset) {
  struct stat st;
  if ((flags & MAP_ANONYMOUS) == 0 && (flags & MAP_SHARED) != 0 && (prot & PROT_WRITE) != 0 && tracked(fd, &st)) {
    unsupported("a file mapped to be written");
  }
  return (void *)syscall(SYS_mmap, at, length, prot, flags, fd, offset);
}
EXPORT void *mmap64(void *at, size_t length, int prot, int flags, int fd, off_t offset) { return mmap(at, length, prot, flags, fd, offset); }

/* --- names --- */

static void record_name(enum kind kind, const struct stat *st, const char *path, const char *path2, uint64_t replaced, const char *grave) {
  struct record r = {
    .kind = kind, .dev = st->st_dev, .ino = st->st_ino, .dir = folder_of(path), .a = replaced,
    .len1 = (uint32_t)strlen(path), .len2 = path2 ? (uint32_t)strlen(path2) : 0, .len3 = grave ? (uint32_t)strlen(grave) : 0,
  };
  if (path2) r.dir2 = folder_of(path2);
  put(&r, path, path2, grave);
}

/* A second name for what is about to lose this one; empty when there is nothing, or no file. */
static uint64_t bury(const char *path, char *grave) {
  struct stat st;
  grave[0] = 0;
  if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return 0;
  snprintf(grave, PATH_MAX, "%s/%llu-%llu", grave_dir, (unsigned long long)st.st_ino, (unsigned long long)atomic_fetch_add(sequence, 1));
  if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) != 0) die("what is unlinked cannot be kept");
  return st.st_ino;
}
static void unbury(const char *grave) {
  int kept = errno;
  if (grave[0]) syscall(SYS_unlinkat, AT_FDCWD, grave, 0);
  errno = kept;
}

/* Opens for real between, once the file's old contents are recorded when it is to be emptied. */
static int before_open(const char *full, int truncates, off_t *locked) {
  struct stat st;
  *locked = 0;
  if (fstatat(AT_FDCWD, full, &st, 0) != 0) return 0;
  if (!truncates || !S_ISREG(st.st_mode)) return 1;
  turn(*locked = (off_t)st.st_ino, F_WRLCK);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC, 0);
  if (fd >= 0) {
    record_resize(fd, 0);
    syscall(SYS_close, fd);
  }
  return 1;
}

static int opening(int dirfd, const char *path, int flags, mode_t mode) {
  char full[PATH_MAX];
  int fd;
  if ((flags & (O_CREAT | O_TRUNC)) == 0 || (flags & O_TMPFILE) == O_TMPFILE || !named(dirfd, path, full)) {
    fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
  } else {
    struct held h;
    off_t locked;
    struct stat st;
    enter(&h, names_lock(full));
    int existed = before_open(full, (flags & O_TRUNC) != 0 && (flags & O_EXCL) == 0, &locked);
    errno = h.error;
    fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
    int kept = errno;
    if (fd >= 0 && !existed && fstat(fd, &st) == 0) record_name(CREATE, &st, full, NULL, 0, NULL);
    if (locked) turn(locked, F_UNLCK);
    errno = kept;
    leave(&h);
  }
  forget(fd);
  return fd;
}
static mode_t mode_of(int flags, va_list list) { return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? (mode_t)va_arg(list, int) : 0; }
#define OPEN(dirfd)                                      \
  va_list list;                                          \
  va_start(list, flags);                                 \
  mode_t mode = mode_of(flags, list);                    \
  va_end(list);                                          \
  return opening(dirfd, path, flags, mode);
EXPORT int open(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
EXPORT int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD) }
EXPORT int openat(int dirfd, const char *path, int flags, ...) { OPEN(dirfd) }
EXPORT int openat64(int dirfd, const char *path, int flags, ...) { OPEN(dirfd) }
EXPORT int __open_2(const char *path, int flags) { return opening(AT_FDCWD, path, flags, 0); }
EXPORT int __open64_2(const char *path, int flags) { return opening(AT_FDCWD, path, flags, 0); }
EXPORT int __openat_2(int dirfd, const char *path, int flags) { return opening(dirfd, path, flags, 0); }
EXPORT int __openat64_2(int dirfd, const char *path, int flags) { return opening(dirfd, path, flags, 0); }
EXPORT int creat(const char *path, mode_t mode) { return opening(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
EXPORT int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* The name is recorded; what stdio writes is not (PostgreSQL keeps nothing so that it trusts after a crash). */
EXPORT FILE *fopen(const char *path, const char *how) {
  static FILE *(*real)(const char *, const char *) = NULL;
  if (!real) real = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
  char full[PATH_MAX];
  if (!how || (how[0] != 'w' && how[0] != 'a') || !named(AT_FDCWD, path, full)) return real(path, how);
  struct held h;
  off_t locked;
  struct stat st;
  enter(&h, names_lock(full));
  int existed = before_open(full, how[0] == 'w', &locked);
  errno = h.error;
  FILE *file = real(path, how);
  int kept = errno;
  if (file && !existed && fstat(fileno(file), &st) == 0) record_name(CREATE, &st, full, NULL, 0, NULL);
  if (locked) turn(locked, F_UNLCK);
  errno = kept;
  leave(&h);
  return file;
}
EXPORT FILE *fopen64(const char *path, const char *how) { return fopen(path, how); }

static int removing(int dirfd, const char *path, int flags) {
  char full[PATH_MAX], grave[PATH_MAX];
  if (!named(dirfd, path, full)) return (int)syscall(SYS_unlinkat, dirfd, path, flags);
  struct held h;
  struct stat st;
  enter(&h, names_lock(full));
  int there = fstatat(AT_FDCWD, full, &st, AT_SYMLINK_NOFOLLOW) == 0;
  bury(full, grave);
  errno = h.error;
  int n = (int)syscall(SYS_unlinkat, dirfd, path, flags);
  int kept = errno;
  if (n != 0) unbury(grave);
  else if (there) record_name(flags & AT_REMOVEDIR ? RMDIR : UNLINK, &st, full, NULL, 0, grave);
  errno = kept;
  leave(&h);
  return n;
}
EXPORT int unlink(const char *path) { return removing(AT_FDCWD, path, 0); }
EXPORT int unlinkat(int dirfd, const char *path, int flags) { return removing(dirfd, path, flags); }
EXPORT int rmdir(const char *path) { return removing(AT_FDCWD, path, AT_REMOVEDIR); }
EXPORT int remove(const char *path) {
  int n = removing(AT_FDCWD, path, 0);
  return n != 0 && (errno == EISDIR || errno == EPERM) ? rmdir(path) : n;
}

static int renaming(int olddir, const char *from, int newdir, const char *to, unsigned flags) {
  char old[PATH_MAX], new[PATH_MAX], grave[PATH_MAX];
  int a = named(olddir, from, old), b = named(newdir, to, new);
  if (!a && !b) return (int)syscall(SYS_renameat2, olddir, from, newdir, to, flags);
  if (!absolute(olddir, from, old) || !absolute(newdir, to, new)) die("a name that is too long");
  if (flags & ~1u) unsupported("renameat2 with flags");
  struct held h;
  struct stat st;
  enter(&h, names_lock(new));
  int there = fstatat(AT_FDCWD, old, &st, AT_SYMLINK_NOFOLLOW) == 0;
  uint64_t replaced = flags & 1u ? (grave[0] = 0, 0) : bury(new, grave);
  errno = h.error;
  int n = (int)syscall(SYS_renameat2, olddir, from, newdir, to, flags);
  int kept = errno;
  if (n != 0) unbury(grave);
  else if (there) record_name(RENAME, &st, old, new, replaced, grave);
  errno = kept;
  leave(&h);
  return n;
}
EXPORT int rename(const char *from, const char *to) { return renaming(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int a, const char *from, int b, const char *to) { return renaming(a, from, b, to, 0); }
EXPORT int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renaming(a, from, b, to, flags); }

static int linking(int olddir, const char *from, int newdir, const char *to, int flags) {
  char new[PATH_MAX];
  if (!named(newdir, to, new)) return (int)syscall(SYS_linkat, olddir, from, newdir, to, flags);
  struct held h;
  struct stat st;
  enter(&h, names_lock(new));
  errno = h.error;
  int n = (int)syscall(SYS_linkat, olddir, from, newdir, to, flags);
  int kept = errno;
  if (n == 0 && fstatat(AT_FDCWD, new, &st, AT_SYMLINK_NOFOLLOW) == 0) record_name(LINK, &st, new, NULL, 0, NULL);
  errno = kept;
  leave(&h);
  return n;
}
EXPORT int link(const char *from, const char *to) { return linking(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int linkat(int a, const char *from, int b, const char *to, int flags) { return linking(a, from, b, to, flags); }

EXPORT int symlinkat(const char *what, int dirfd, const char *path) {
  char full[PATH_MAX];
  if (named(dirfd, path, full)) unsupported("a symbolic link");
  return (int)syscall(SYS_symlinkat, what, dirfd, path);
}
EXPORT int symlink(const char *what, const char *path) { return symlinkat(what, AT_FDCWD, path); }

EXPORT int mkdirat(int dirfd, const char *path, mode_t mode) {
  char full[PATH_MAX];
  if (!named(dirfd, path, full)) return (int)syscall(SYS_mkdirat, dirfd, path, mode);
  struct held h;
  struct stat st;
  enter(&h, names_lock(full));
  errno = h.error;
  int n = (int)syscall(SYS_mkdirat, dirfd, path, mode);
  int kept = errno;
  if (n == 0 && fstatat(AT_FDCWD, full, &st, AT_SYMLINK_NOFOLLOW) == 0) record_name(MKDIR, &st, full, NULL, 0, NULL);
  errno = kept;
  leave(&h);
  return n;
}
EXPORT int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
