// Fails one call of the file functions below, for files in one folder: `benchmarks/disks.py` compiles this
// and loads it before the C library (LD_PRELOAD). A forked process arms it with `fault_arm`.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

static char prefix[4096];
static long calls = 0, fail_at = 0;
static int fail_errno = EIO, fail_forever = 0;

extern "C" void fault_arm(const char *folder, long at, int error, int forever) {
    snprintf(prefix, sizeof prefix, "%s", folder);
    calls = 0;
    fail_at = at;
    fail_errno = error;
    fail_forever = forever;
}

extern "C" long fault_calls() { return calls; }

static bool inside(const char *path) { return prefix[0] && path && !strncmp(path, prefix, strlen(prefix)); }

static bool inside(int fd) {
    if (!prefix[0]) return false;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return false;
    path[length] = 0;
    return inside(path);
}

static bool fails(bool counted) {
    if (!counted) return false;
    ++calls;
    if (!fail_at || calls < fail_at || (calls > fail_at && !fail_forever)) return false;
    errno = fail_errno;
    return true;
}

#define ORIGINAL(name) ((decltype(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(result, name, parameters, where, arguments)              \
    extern "C" result name parameters {                               \
        static auto original = ORIGINAL(name);                        \
        return fails(inside(where)) ? -1 : original arguments;        \
    }

WRAP(ssize_t, write, (int fd, const void *data, size_t size), fd, (fd, data, size))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), fd, (fd, data, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), fd, (fd, data, size, at))
WRAP(int, fsync, (int fd), fd, (fd))
WRAP(int, fdatasync, (int fd), fd, (fd))
WRAP(int, ftruncate, (int fd, off_t size), fd, (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), fd, (fd, size))
WRAP(int, truncate, (const char *path, off_t size), path, (path, size))
WRAP(int, truncate64, (const char *path, off64_t size), path, (path, size))
WRAP(int, rename, (const char *from, const char *to), to, (from, to))
WRAP(int, mkdir, (const char *path, mode_t mode), path, (path, mode))
WRAP(int, unlink, (const char *path), path, (path))

#define WRAP_OPEN(name)                                                              \
    extern "C" int name(const char *path, int flags, ...) {                          \
        static auto original = ORIGINAL(name);                                       \
        va_list list;                                                                \
        va_start(list, flags);                                                       \
        mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;                    \
        va_end(list);                                                                \
        return fails((flags & O_CREAT) && inside(path)) ? -1 : original(path, flags, mode); \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
