/* Makes one system call that touches some folders fail, as SQLite's tests do.
 *
 * Loaded with LD_PRELOAD. It counts the calls of a program, and of all that it forks, and lets the
 * one of a number fail. Set in the environment:
 *   FAULT_FOLDERS  the folders, absolute, with a colon between them
 *   FAULT_COUNTER  a file of two 64-bit numbers that all processes share: calls, and faults
 *   FAULT_AT       the call that fails, from 1; 0 for none: then all are written to the trace
 *   FAULT_ALWAYS   1: and all calls after it
 *   FAULT_KIND     the name of an error (EIO, ENOSPC, ...), or short, end, half, kill, killed
 *   FAULT_TRACE    a file to which number, name and path of the call that fails are written
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static char folders[8][4096];
static int n_folders = -1;
static unsigned long long fails_at;
static int always;
static char kind[16];
static char trace[4096];
static _Atomic unsigned long long *counter;

static const struct { const char *name; int number; } ERRORS[] = {
    {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}, {"ENOENT", ENOENT},
    {"EACCES", EACCES}, {"EMFILE", EMFILE}, {"ESTALE", ESTALE},
};

static void set_up(void) {
    if (n_folders >= 0) return;
    n_folders = 0;
    const char *given = getenv("FAULT_FOLDERS"), *file = getenv("FAULT_COUNTER");
    if (!given || !file) return;
    int descriptor = REAL(open)(file, O_RDWR);
    if (descriptor < 0) return;
    counter = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    REAL(close)(descriptor);
    if (counter == MAP_FAILED) { counter = NULL; return; }
    fails_at = getenv("FAULT_AT") ? strtoull(getenv("FAULT_AT"), NULL, 10) : 0;
    always = getenv("FAULT_ALWAYS") && *getenv("FAULT_ALWAYS") == '1';
    snprintf(kind, sizeof kind, "%s", getenv("FAULT_KIND") ? getenv("FAULT_KIND") : "EIO");
    snprintf(trace, sizeof trace, "%s", getenv("FAULT_TRACE") ? getenv("FAULT_TRACE") : "");
    char copy[8 * 4096];
    snprintf(copy, sizeof copy, "%s", given);
    for (char *part = strtok(copy, ":"); part && n_folders < 8; part = strtok(NULL, ":"))
        snprintf(folders[n_folders++], 4096, "%s", part);
}

static int is_below(const char *path) {
    for (int n = 0; n < n_folders; n++) {
        size_t length = strlen(folders[n]);
        if (!strncmp(path, folders[n], length) && (path[length] == '/' || !path[length])) return 1;
    }
    return 0;
}

/* Whether a call touches the folders; the path it goes by is written down. */
static int touches(int directory, const char *path, char *found) {
    set_up();
    if (!counter || n_folders == 0) return 0;
    found[0] = 0;
    if (path && path[0] == '/') {
        snprintf(found, 4096, "%s", path);
    } else {
        char link[64], base[4096];
        if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n <= 0) return 0;
        base[n] = 0;
        if (path && path[0]) snprintf(found, 4096, "%.2000s/%.2000s", base, path);
        else snprintf(found, 4096, "%s", base);
    }
    return is_below(found);
}

static int error_of_kind(void) {
    for (size_t n = 0; n < sizeof ERRORS / sizeof *ERRORS; n++)
        if (!strcmp(kind, ERRORS[n].name)) return ERRORS[n].number;
    return 0;
}

/* Count a call; whether it is to fail. */
static int is_due(const char *name, const char *path) {
    unsigned long long number = atomic_fetch_add(counter, 1) + 1;
    int due = fails_at && (number == fails_at || (always && number > fails_at));
    if (due) atomic_fetch_add(counter + 1, 1);
    if (trace[0] && (due || !fails_at)) {
        int descriptor = REAL(open)(trace, O_WRONLY | O_CREAT | O_APPEND, 0644);
        char line[8600];
        int n = snprintf(line, sizeof line, "%llu %s %s\n", number, name, path);
        if (descriptor >= 0) {
            if (REAL(write)(descriptor, line, (size_t)n) < 0) errno = 0;
            REAL(close)(descriptor);
        }
    }
    if (due && !strcmp(kind, "kill")) kill(getpid(), SIGKILL);
    return due;
}

#define AFTER(result) \
    do { if (due && !strcmp(kind, "killed")) kill(getpid(), SIGKILL); return result; } while (0)

/* A call that goes by a path: only errors and kills. */
#define BY_PATH(name, directory, path, failed, call) \
    char found[4096]; \
    int due = touches(directory, path, found) && is_due(name, found); \
    if (due && error_of_kind()) { errno = error_of_kind(); return failed; } \
    __typeof__(call) result = call; \
    AFTER(result)

int open(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    BY_PATH("open", AT_FDCWD, path, -1, REAL(open)(path, flags, mode));
}
int open64(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    BY_PATH("open", AT_FDCWD, path, -1, REAL(open64)(path, flags, mode));
}
int openat(int directory, const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    BY_PATH("openat", directory, path, -1, REAL(openat)(directory, path, flags, mode));
}
int openat64(int directory, const char *path, int flags, ...) {
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    BY_PATH("openat", directory, path, -1, REAL(openat64)(directory, path, flags, mode));
}
int stat(const char *path, struct stat *status) {
    BY_PATH("stat", AT_FDCWD, path, -1, REAL(stat)(path, status));
}
int stat64(const char *path, struct stat64 *status) {
    BY_PATH("stat", AT_FDCWD, path, -1, REAL(stat64)(path, status));
}
int lstat(const char *path, struct stat *status) {
    BY_PATH("lstat", AT_FDCWD, path, -1, REAL(lstat)(path, status));
}
int lstat64(const char *path, struct stat64 *status) {
    BY_PATH("lstat", AT_FDCWD, path, -1, REAL(lstat64)(path, status));
}
int fstatat(int directory, const char *path, struct stat *status, int flags) {
    BY_PATH("fstatat", directory, path, -1, REAL(fstatat)(directory, path, status, flags));
}
int fstatat64(int directory, const char *path, struct stat64 *status, int flags) {
    BY_PATH("fstatat", directory, path, -1, REAL(fstatat64)(directory, path, status, flags));
}
int fstat(int file, struct stat *status) {
    BY_PATH("fstat", file, "", -1, REAL(fstat)(file, status));
}
int fstat64(int file, struct stat64 *status) {
    BY_PATH("fstat", file, "", -1, REAL(fstat64)(file, status));
}
int access(const char *path, int mode) {
    BY_PATH("access", AT_FDCWD, path, -1, REAL(access)(path, mode));
}
int mkdir(const char *path, mode_t mode) {
    BY_PATH("mkdir", AT_FDCWD, path, -1, REAL(mkdir)(path, mode));
}
int rmdir(const char *path) { BY_PATH("rmdir", AT_FDCWD, path, -1, REAL(rmdir)(path)); }
int unlink(const char *path) { BY_PATH("unlink", AT_FDCWD, path, -1, REAL(unlink)(path)); }
int unlinkat(int directory, const char *path, int flags) {
    BY_PATH("unlinkat", directory, path, -1, REAL(unlinkat)(directory, path, flags));
}
int rename(const char *from, const char *to) { /* the trace has the old name too */
    char found[4096], both[8300];
    int due = touches(AT_FDCWD, to, found);
    snprintf(both, sizeof both, "%s\t%s", from, found);
    due = due && is_due("rename", both);
    if (due && error_of_kind()) { errno = error_of_kind(); return -1; }
    int result = REAL(rename)(from, to);
    AFTER(result);
}
int utimensat(int directory, const char *path, const struct timespec times[2], int flags) {
    BY_PATH("utimensat", directory, path, -1, REAL(utimensat)(directory, path, times, flags));
}
DIR *opendir(const char *path) { BY_PATH("opendir", AT_FDCWD, path, NULL, REAL(opendir)(path)); }
int close(int file) {
    char found[4096];
    int due = touches(file, "", found) && is_due("close", found);
    int result = REAL(close)(file); /* as Linux has it: closed, whatever it says */
    if (due && error_of_kind()) { errno = error_of_kind(); return -1; }
    AFTER(result);
}
int ftruncate(int file, off_t size) {
    BY_PATH("ftruncate", file, "", -1, REAL(ftruncate)(file, size));
}
int ftruncate64(int file, off64_t size) {
    BY_PATH("ftruncate", file, "", -1, REAL(ftruncate64)(file, size));
}
int posix_fallocate(int file, off_t start, off_t size) {
    char found[4096];
    int due = touches(file, "", found) && is_due("posix_fallocate", found);
    if (due && error_of_kind()) return error_of_kind();
    int result = REAL(posix_fallocate)(file, start, size);
    AFTER(result);
}
int fsync(int file) { BY_PATH("fsync", file, "", -1, REAL(fsync)(file)); }
int fdatasync(int file) { BY_PATH("fdatasync", file, "", -1, REAL(fdatasync)(file)); }
int flock(int file, int operation) {
    BY_PATH("flock", file, "", -1, ((int (*)(int, int))real("flock"))(file, operation));
}

/* A transfer may also be short, end early, or be half done before it fails. */
#define TRANSFER(name, file, count, call, few) \
    char found[4096]; \
    int due = touches(file, "", found) && is_due(name, found); \
    if (due && error_of_kind()) { errno = error_of_kind(); return -1; } \
    if (due && !strcmp(kind, "end")) return 0; \
    if (due && (count) > 1 && !strcmp(kind, "short")) return few; \
    if (due && !strcmp(kind, "half")) { if (few < 0) return -1; errno = ENOSPC; return -1; } \
    ssize_t result = call; \
    AFTER(result)

ssize_t read(int file, void *memory, size_t count) {
    TRANSFER("read", file, count, REAL(read)(file, memory, count), REAL(read)(file, memory, count / 2));
}
ssize_t pread(int file, void *memory, size_t count, off_t offset) {
    TRANSFER("pread", file, count, REAL(pread)(file, memory, count, offset),
             REAL(pread)(file, memory, count / 2, offset));
}
ssize_t pread64(int file, void *memory, size_t count, off64_t offset) {
    TRANSFER("pread", file, count, REAL(pread64)(file, memory, count, offset),
             REAL(pread64)(file, memory, count / 2, offset));
}
ssize_t write(int file, const void *memory, size_t count) {
    TRANSFER("write", file, count, REAL(write)(file, memory, count),
             REAL(write)(file, memory, count / 2));
}
ssize_t pwrite(int file, const void *memory, size_t count, off_t offset) {
    TRANSFER("pwrite", file, count, REAL(pwrite)(file, memory, count, offset),
             REAL(pwrite)(file, memory, count / 2, offset));
}
ssize_t pwrite64(int file, const void *memory, size_t count, off64_t offset) {
    TRANSFER("pwrite", file, count, REAL(pwrite64)(file, memory, count, offset),
             REAL(pwrite64)(file, memory, count / 2, offset));
}
#define FIRST_HALF(parts) &(struct iovec){(parts)[0].iov_base, (parts)[0].iov_len / 2}, 1
ssize_t preadv(int file, const struct iovec *parts, int n, off_t offset) {
    TRANSFER("preadv", file, parts[0].iov_len, REAL(preadv)(file, parts, n, offset),
             REAL(preadv)(file, FIRST_HALF(parts), offset));
}
ssize_t preadv64(int file, const struct iovec *parts, int n, off64_t offset) {
    TRANSFER("preadv", file, parts[0].iov_len, REAL(preadv64)(file, parts, n, offset),
             REAL(preadv64)(file, FIRST_HALF(parts), offset));
}
ssize_t preadv2(int file, const struct iovec *parts, int n, off_t offset, int flags) {
    TRANSFER("preadv", file, parts[0].iov_len, REAL(preadv2)(file, parts, n, offset, flags),
             REAL(preadv2)(file, FIRST_HALF(parts), offset, flags));
}
ssize_t preadv64v2(int file, const struct iovec *parts, int n, off64_t offset, int flags) {
    TRANSFER("preadv", file, parts[0].iov_len, REAL(preadv64v2)(file, parts, n, offset, flags),
             REAL(preadv64v2)(file, FIRST_HALF(parts), offset, flags));
}
ssize_t pwritev(int file, const struct iovec *parts, int n, off_t offset) {
    TRANSFER("pwritev", file, parts[0].iov_len, REAL(pwritev)(file, parts, n, offset),
             REAL(pwritev)(file, FIRST_HALF(parts), offset));
}
ssize_t pwritev64(int file, const struct iovec *parts, int n, off64_t offset) {
    TRANSFER("pwritev", file, parts[0].iov_len, REAL(pwritev64)(file, parts, n, offset),
             REAL(pwritev64)(file, FIRST_HALF(parts), offset));
}
off_t lseek(int file, off_t offset, int whence) {
    BY_PATH("lseek", file, "", -1, REAL(lseek)(file, offset, whence));
}
off64_t lseek64(int file, off64_t offset, int whence) {
    BY_PATH("lseek", file, "", -1, REAL(lseek64)(file, offset, whence));
}
struct dirent *readdir(DIR *folder) {
    char found[4096];
    int due = touches(dirfd(folder), "", found) && is_due("readdir", found);
    if (due && error_of_kind()) { errno = error_of_kind(); return NULL; }
    struct dirent *result = REAL(readdir)(folder);
    AFTER(result);
}
struct dirent64 *readdir64(DIR *folder) {
    char found[4096];
    int due = touches(dirfd(folder), "", found) && is_due("readdir", found);
    if (due && error_of_kind()) { errno = error_of_kind(); return NULL; }
    struct dirent64 *result = REAL(readdir64)(folder);
    AFTER(result);
}
