// Preloaded into a process that saves: ends it, or lets the disk fail, at the n-th call that reaches the disk.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NONE, KILL_BEFORE, KILL_AFTER, FULL, BROKEN, SHORT };

static int armed, kind, at, seen;

// Counts from now on; `nth` below 0 only counts.
void fault_arm(int what, int nth) { kind = what, at = nth, seen = 0, armed = 1; }
int fault_disarm(void) { return armed = 0, seen; }

// Whether this call is the one.
static int hit(void) { return armed && seen++ == at; }

// What happens before the call: 0 goes on, otherwise errno has been set.
static int fails(int here) {
  if (!here) return 0;
  if (kind == KILL_BEFORE) kill(getpid(), SIGKILL);
  if (kind == FULL || kind == BROKEN) return errno = kind == FULL ? ENOSPC : EIO, 1;
  return 0;
}

static void after(int here) {
  if (here && kind == KILL_AFTER) kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(result, name, parameters, ...)        \
  result name parameters {                         \
    const int here = hit();                        \
    if (fails(here)) return -1;                    \
    const result found = REAL(name)(__VA_ARGS__);  \
    after(here);                                   \
    return found;                                  \
  }

WRAP(int, fsync, (int fd), fd)
WRAP(int, rename, (const char* from, const char* to), from, to)
WRAP(int, mkdir, (const char* path, mode_t mode), path, mode)
WRAP(int, unlink, (const char* path), path)
WRAP(int, unlinkat, (int folder, const char* path, int flags), folder, path, flags)
WRAP(int, rmdir, (const char* path), path)
WRAP(int, fchmod, (int fd, mode_t mode), fd, mode)

ssize_t write(int fd, const void* data, size_t size) {
  const int here = hit();
  if (fails(here)) return -1;
  if (here && kind == KILL_AFTER && size > 1) REAL(write)(fd, data, size / 2);
  after(here);
  return REAL(write)(fd, data, here && kind == SHORT && size > 1 ? size / 2 : size);
}

// Only what makes a file counts: reading is not what is tried here.
#define WRAP_OPEN(name)                                                   \
  int name(const char* path, int flags, ...) {                            \
    va_list rest;                                                         \
    va_start(rest, flags);                                                \
    const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;       \
    va_end(rest);                                                         \
    const int here = flags & O_CREAT ? hit() : 0;                         \
    if (fails(here)) return -1;                                           \
    const int fd = REAL(name)(path, flags, mode);                         \
    after(here);                                                          \
    return fd;                                                            \
  }

WRAP_OPEN(open)
WRAP_OPEN(open64)
