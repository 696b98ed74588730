/* Loaded before libc into one node (LD_PRELOAD): a disk that hangs, fails once or is full, and a wall
 * clock that is off. What it does stands in a mapped control file, see shim.rs for the words. Only
 * files below a prefix are touched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { HANG, FAIL_SYNCS, FULL, CLOCK_US, SCOPE, HUNG, FAILED, REFUSED, SYNCED_FILE, SYNCED, WORDS };
enum { EVERYTHING, LOG_ONLY, OTHERS_ONLY };

static _Atomic int64_t nothing[WORDS];
static _Atomic int64_t *control = nothing;
static const char *prefix = NULL;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("HEARTH_SHIM_CONTROL");
  prefix = getenv("HEARTH_SHIM_PREFIX");
  if (!file || !prefix) return;
  int fd = open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof nothing, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) control = map;
  close(fd);
}

/* Does the file stand below this folder under the prefix? */
static int is_below(int fd, const char *folder) {
  char link[64], path[4096], wanted[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = prefix ? readlink(link, path, sizeof path - 1) : -1;
  if (length < 0) return 0;
  path[length] = 0;
  snprintf(wanted, sizeof wanted, "%s/%s", prefix, folder);
  return strncmp(path, wanted, strlen(wanted)) == 0;
}

/* Is this file one that the fault is about? */
static int meant(int fd) {
  int64_t scope = control[SCOPE];
  return is_below(fd, "") && (scope == EVERYTHING || (scope == LOG_ONLY) == is_below(fd, "raft/"));
}

static int sync_by(long number, int fd) {
  if (control[HANG] && meant(fd)) {
    control[HUNG]++;
    while (control[HANG]) usleep(5000);
  }
  if (control[FAIL_SYNCS] > 0 && meant(fd) && atomic_fetch_sub(&control[FAIL_SYNCS], 1) > 0) {
    control[FAILED]++;
    errno = EIO;
    return -1;
  }
  struct stat before;
  int is_log = is_below(fd, "raft/log/r-") && fstat(fd, &before) == 0;
  int done = (int)syscall(number, fd);
  if (done == 0 && is_log) {
    /* One thread syncs the log, so the two words are never mixed up. */
    control[SYNCED_FILE] = (int64_t)before.st_ino;
    control[SYNCED] = before.st_size;
  }
  return done;
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }

static int is_full(int fd) {
  if (!control[FULL] || !meant(fd)) return 0;
  control[REFUSED]++;
  errno = ENOSPC;
  return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  return is_full(fd) ? -1 : syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return is_full(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  return is_full(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
  return is_full(fd) ? -1 : syscall(SYS_writev, fd, pieces, count);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
  return is_full(fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, length);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *) = NULL;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
  int done = real ? real(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
  int64_t off = control[CLOCK_US];
  if (done == 0 && off && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t us = now->tv_sec * 1000000LL + now->tv_nsec / 1000 + off;
    now->tv_sec = us / 1000000;
    now->tv_nsec = us % 1000000 * 1000 + now->tv_nsec % 1000;
  }
  return done;
}

int gettimeofday(struct timeval *now, void *zone) {
  (void)zone;
  struct timespec fine;
  int done = clock_gettime(CLOCK_REALTIME, &fine);
  now->tv_sec = fine.tv_sec;
  now->tv_usec = fine.tv_nsec / 1000;
  return done;
}
