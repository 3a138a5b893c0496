/*
 * Stands between the server and the system, for tests only: it is preloaded, never shipped.
 *
 * It writes down, in order, everything that is done to the files of the data folder and everything
 * that is said to clients; it fails the n-th of these operations, or ends the process there; and it
 * moves the clocks. What it does is decided by numbers in a file that test and server both map.
 *
 * Not seen: the maps of SQLite's -shm file (made anew after a crash), and two system calls that are
 * made without the library: fallocate (zeros are written over it) and mkdirat of the journal's
 * folder (taken for durable at once).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The numbers in the control file; tests/src/soak/shim.rs has the same order. */
struct control {
    _Atomic int64_t operations; /* of those that count, so far */
    _Atomic int64_t fail_at;    /* this one fails; 0: none */
    _Atomic int64_t error;      /* with this errno */
    _Atomic int64_t is_lasting; /* and all that count after it */
    _Atomic int64_t kill_at;    /* before this one the process ends; 0: none */
    _Atomic int64_t files;      /* which count: ALL_FILES, DATABASE_FILES, JOURNAL_FILES */
    _Atomic int64_t failed;     /* how many were failed so far */
    _Atomic int64_t wall_ns;    /* is added to the wall clock */
    _Atomic int64_t wall_at_ns; /* the wall clock stands still here; 0: it does not */
    _Atomic int64_t monotonic_ns; /* is added to the clock that never goes back */
    _Atomic int64_t reads;        /* of those files that count, so far */
    _Atomic int64_t fail_read_at; /* this one fails, and if is_lasting all after it; 0: none */
    _Atomic int64_t reads_failed; /* how many were failed so far */
    _Atomic int64_t speed;        /* so much faster runs that clock; 0: it does not */
};

enum { ALL_FILES, DATABASE_FILES, JOURNAL_FILES };

/* The kinds of entries in the log. */
enum kind {
    OPEN = 1,
    WRITE = 2,
    ZEROS = 3,
    TRUNCATE = 4,
    SYNC = 5,
    SYNC_FOLDER = 6,
    RENAME = 7,
    UNLINK = 8,
    SEND = 9,
    START = 10,
    FAULT = 11,
    ACCEPT = 12,
    MAKE_FOLDER = 13,
};

/* An entry of the log; so many bytes of data follow it. */
struct entry {
    uint32_t kind;
    uint32_t data_bytes;
    uint64_t file;
    uint64_t offset;
    uint64_t size;
};

enum { NOT_OURS = 0, DATA_FILE, DATA_FOLDER, CONNECTION };

struct descriptor {
    uint8_t what;
    uint8_t files; /* DATABASE_FILES, JOURNAL_FILES, or ALL_FILES for others */
    uint64_t inode;
    char folder[64]; /* of a DATA_FOLDER: its path within the ground */
};

#define DESCRIPTORS 4096
static struct descriptor descriptors[DESCRIPTORS];
static struct control *control;
static int log_descriptor = -1;
static char ground[4096]; /* the folder that holds the data folder */
static size_t ground_bytes;
static char zeros[1 << 20];
static int64_t started_ns; /* what the clock that never goes back said at the start */

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_epoll_wait)(int, struct epoll_event *, int, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static long (*real_syscall)(long, ...);

static void append(enum kind kind, uint64_t file, uint64_t offset, uint64_t size,
                   const void *bytes, size_t count);

static int64_t nanoseconds_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        _exit(120);
    }
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    if (real_open) {
        return;
    }
    real_close = next("close");
    real_write = next("write");
    real_read = next("read");
    real_pread = next("pread64");
    real_epoll_wait = next("epoll_wait");
    real_pwrite = next("pwrite64");
    real_send = next("send");
    real_writev = next("writev");
    real_ftruncate = next("ftruncate64");
    real_fsync = next("fsync");
    real_fdatasync = next("fdatasync");
    real_rename = next("rename");
    real_unlink = next("unlink");
    real_mkdir = next("mkdir");
    real_accept4 = next("accept4");
    real_clock_gettime = next("clock_gettime");
    real_syscall = next("syscall");
    real_open = next("open64");
    const char *path = getenv("SHIM_CONTROL");
    const char *folder = getenv("SHIM_GROUND");
    const char *log = getenv("SHIM_LOG");
    if (!path || !folder || strlen(folder) >= sizeof ground) {
        return;
    }
    int file = real_open(path, O_RDWR | O_CLOEXEC);
    void *map = file < 0 ? MAP_FAILED
                         : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        _exit(121);
    }
    real_close(file);
    strcpy(ground, folder);
    ground_bytes = strlen(ground);
    if (log) {
        log_descriptor = real_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    }
    struct timespec now;
    real_clock_gettime(CLOCK_MONOTONIC, &now);
    started_ns = nanoseconds_of(&now);
    control = map;
    append(START, 0, 0, (uint64_t)getpid(), NULL, 0);
}

/* One call, so that entries of several threads follow each other whole. */
static void append(enum kind kind, uint64_t file, uint64_t offset, uint64_t size,
                   const void *bytes, size_t count)
{
    if (log_descriptor < 0) {
        return;
    }
    struct entry entry = {kind, (uint32_t)count, file, offset, size};
    struct iovec parts[2] = {{&entry, sizeof entry}, {(void *)bytes, count}};
    int before = errno;
    if (real_writev(log_descriptor, parts, count ? 2 : 1) != (ssize_t)(sizeof entry + count)) {
        _exit(122);
    }
    errno = before;
}

/* The path within the ground, or nothing. SQLite's -shm file is no data. */
static const char *within(const char *path)
{
    if (!control || !path || strncmp(path, ground, ground_bytes) != 0) {
        return NULL;
    }
    if (path[ground_bytes] == 0) {
        return "";
    }
    size_t length = strlen(path);
    if (path[ground_bytes] != '/' || (length > 4 && strcmp(path + length - 4, "-shm") == 0)) {
        return NULL;
    }
    /* Beside the data there are the tests' own files. */
    const char *name = path + ground_bytes + 1;
    return strncmp(name, "data", 4) == 0 && (name[4] == 0 || name[4] == '/') ? name : NULL;
}

static int files_of(const char *path)
{
    if (strncmp(path, "data/whoelse.db", 15) == 0) {
        return DATABASE_FILES;
    }
    return strncmp(path, "data/journal", 12) == 0 ? JOURNAL_FILES : ALL_FILES;
}

static struct descriptor *descriptor(int number, int what)
{
    if (!control || number < 0 || number >= DESCRIPTORS || descriptors[number].what != what) {
        return NULL;
    }
    return &descriptors[number];
}

/* Counts an operation; returns the errno it shall fail with, or 0. May end the process. */
static int fate(enum kind kind, int files)
{
    int64_t wanted = control->files;
    if (wanted != ALL_FILES && wanted != files) {
        return 0;
    }
    int64_t number = ++control->operations;
    if (control->kill_at && number >= control->kill_at) {
        kill(getpid(), SIGKILL);
        pause();
    }
    int64_t fail_at = control->fail_at;
    if (!fail_at || number < fail_at || (number > fail_at && !control->is_lasting)) {
        return 0;
    }
    control->failed++;
    append(FAULT, 0, kind, (uint64_t)control->error, NULL, 0);
    return (int)control->error;
}

static int is_fated(enum kind kind, int files)
{
    int error = fate(kind, files);
    if (error) {
        errno = error;
    }
    return error;
}

/* Reads are counted by themselves: what is written is in the same place with and without them. */
static int is_read_fated(int number)
{
    const struct descriptor *it = descriptor(number, DATA_FILE);
    int64_t wanted = it ? (int64_t)control->files : 0;
    if (!it || (wanted != ALL_FILES && wanted != it->files)) {
        return 0;
    }
    int64_t count = ++control->reads, fail_at = control->fail_read_at;
    if (!fail_at || count < fail_at || (count > fail_at && !control->is_lasting)) {
        return 0;
    }
    control->reads_failed++;
    errno = (int)control->error;
    return 1;
}

ssize_t read(int number, void *bytes, size_t count)
{
    begin();
    return is_read_fated(number) ? -1 : real_read(number, bytes, count);
}

ssize_t pread64(int number, void *bytes, size_t count, off_t at)
{
    begin();
    return is_read_fated(number) ? -1 : real_pread(number, bytes, count, at);
}

ssize_t pread(int number, void *bytes, size_t count, off_t at)
{
    return pread64(number, bytes, count, at);
}

static int open_file(const char *path, int flags, mode_t mode)
{
    begin();
    const char *name = within(path);
    if (!name) {
        return real_open(path, flags, mode);
    }
    struct stat before;
    int is_new = (flags & O_CREAT) && stat(path, &before) != 0;
    if (is_new && is_fated(OPEN, files_of(name))) {
        return -1;
    }
    int number = real_open(path, flags, mode);
    struct stat now;
    if (number < 0 || number >= DESCRIPTORS || fstat(number, &now) != 0) {
        return number;
    }
    struct descriptor *it = &descriptors[number];
    it->inode = now.st_ino;
    it->files = (uint8_t)files_of(name);
    if (S_ISDIR(now.st_mode)) {
        snprintf(it->folder, sizeof it->folder, "%s", name);
        it->what = DATA_FOLDER;
    } else if (S_ISREG(now.st_mode)) {
        it->what = DATA_FILE;
        append(OPEN, now.st_ino, (uint64_t)is_new, 0, name, strlen(name));
        if (flags & O_TRUNC) {
            append(TRUNCATE, now.st_ino, 0, 0, NULL, 0);
        }
    }
    return number;
}

#define OPEN_LIKE(name)                                                                            \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;                  \
        va_end(rest);                                                                              \
        return open_file(path, flags, mode);                                                       \
    }
OPEN_LIKE(open)
OPEN_LIKE(open64)

int close(int number)
{
    begin();
    if (number >= 0 && number < DESCRIPTORS) {
        descriptors[number].what = NOT_OURS;
    }
    return real_close(number);
}

int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags)
{
    begin();
    int number = real_accept4(listener, address, length, flags);
    if (control && number >= 0 && number < DESCRIPTORS) {
        descriptors[number].what = CONNECTION;
        append(ACCEPT, (uint64_t)number, 0, 0, NULL, 0);
    }
    return number;
}

/*
 * What is said is noted before it leaves: it may be heard at once. What the system did not take is
 * taken back, and will be said again.
 */
ssize_t send(int number, const void *bytes, size_t count, int flags)
{
    begin();
    const struct descriptor *it = descriptor(number, CONNECTION);
    if (it) {
        append(SEND, (uint64_t)number, 0, 0, bytes, count);
    }
    ssize_t sent = real_send(number, bytes, count, flags);
    if (it && sent != (ssize_t)count) {
        append(SEND, (uint64_t)number, 1, count - (size_t)(sent > 0 ? sent : 0), NULL, 0);
    }
    return sent;
}

static void note_write(const struct descriptor *it, off_t at, const void *bytes, size_t count)
{
    const char *left = bytes;
    while (count > 0) {
        size_t part = count < sizeof zeros ? count : sizeof zeros;
        if (part >= 4096 && memcmp(left, zeros, part) == 0) {
            append(ZEROS, it->inode, (uint64_t)at, part, NULL, 0);
        } else {
            append(WRITE, it->inode, (uint64_t)at, part, left, part);
        }
        left += part;
        at += (off_t)part;
        count -= part;
    }
}

ssize_t pwrite64(int number, const void *bytes, size_t count, off_t at)
{
    begin();
    const struct descriptor *it = descriptor(number, DATA_FILE);
    if (it && is_fated(WRITE, it->files)) {
        return -1;
    }
    ssize_t written = real_pwrite(number, bytes, count, at);
    if (it && written > 0) {
        note_write(it, at, bytes, (size_t)written);
    }
    return written;
}

ssize_t pwrite(int number, const void *bytes, size_t count, off_t at)
{
    return pwrite64(number, bytes, count, at);
}

ssize_t write(int number, const void *bytes, size_t count)
{
    begin();
    const struct descriptor *it = descriptor(number, DATA_FILE);
    if (!it) {
        return real_write(number, bytes, count);
    }
    if (is_fated(WRITE, it->files)) {
        return -1;
    }
    ssize_t written = real_write(number, bytes, count);
    if (written > 0) {
        note_write(it, lseek(number, 0, SEEK_CUR) - written, bytes, (size_t)written);
    }
    return written;
}

int ftruncate64(int number, off_t size)
{
    begin();
    const struct descriptor *it = descriptor(number, DATA_FILE);
    if (it && is_fated(TRUNCATE, it->files)) {
        return -1;
    }
    int result = real_ftruncate(number, size);
    if (it && result == 0) {
        append(TRUNCATE, it->inode, 0, (uint64_t)size, NULL, 0);
    }
    return result;
}

int ftruncate(int number, off_t size)
{
    return ftruncate64(number, size);
}

/* Noted when it has returned: what was written meanwhile by others is not covered. */
static int synced(int number, int (*real)(int))
{
    begin();
    const struct descriptor *file = descriptor(number, DATA_FILE);
    const struct descriptor *folder = descriptor(number, DATA_FOLDER);
    if (file && is_fated(SYNC, file->files)) {
        return -1;
    }
    if (folder && is_fated(SYNC_FOLDER, folder->files)) {
        return -1;
    }
    int result = real(number);
    if (result == 0 && file) {
        append(SYNC, file->inode, 0, 0, NULL, 0);
    }
    if (result == 0 && folder) {
        append(SYNC_FOLDER, 0, 0, 0, folder->folder, strlen(folder->folder));
    }
    return result;
}

int fsync(int number)
{
    begin();
    return synced(number, real_fsync);
}

int fdatasync(int number)
{
    begin();
    return synced(number, real_fdatasync);
}

int rename(const char *from, const char *to)
{
    begin();
    const char *old_name = within(from), *new_name = within(to);
    if (!old_name || !new_name) {
        return real_rename(from, to);
    }
    if (is_fated(RENAME, files_of(old_name))) {
        return -1;
    }
    int result = real_rename(from, to);
    if (result == 0) {
        char both[512];
        int count = snprintf(both, sizeof both, "%s\n%s", old_name, new_name);
        append(RENAME, 0, 0, 0, both, (size_t)count);
    }
    return result;
}

int unlink(const char *path)
{
    begin();
    const char *name = within(path);
    if (name && is_fated(UNLINK, files_of(name))) {
        return -1;
    }
    int result = real_unlink(path);
    if (name && result == 0) {
        append(UNLINK, 0, 0, 0, name, strlen(name));
    }
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    begin();
    const char *name = within(path);
    int result = real_mkdir(path, mode);
    if (name && result == 0) {
        append(MAKE_FOLDER, 0, 0, 0, name, strlen(name));
    }
    return result;
}

static void add(struct timespec *time, int64_t nanoseconds)
{
    int64_t sum = nanoseconds_of(time) + nanoseconds;
    sum = sum < 0 ? 0 : sum;
    time->tv_sec = sum / 1000000000;
    time->tv_nsec = sum % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    begin();
    int result = real_clock_gettime(clock, time);
    if (result != 0 || !control) {
        return result;
    }
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        if (control->wall_at_ns) {
            *time = (struct timespec){0, 0};
            add(time, control->wall_at_ns);
        } else {
            add(time, control->wall_ns);
        }
    } else if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE ||
               clock == CLOCK_BOOTTIME) {
        int64_t faster = control->speed ? control->speed - 1 : 0;
        add(time, control->monotonic_ns + (nanoseconds_of(time) - started_ns) * faster);
    }
    return result;
}

int epoll_wait(int number, struct epoll_event *events, int count, int milliseconds)
{
    begin();
    int speed = control && control->speed ? (int)control->speed : 1;
    int wait = milliseconds > 0 ? (milliseconds + speed - 1) / speed : milliseconds;
    return real_epoll_wait(number, events, count, wait);
}

/* Rust's threads wait until a time of the clock that we have moved; the system has not. */
long syscall(long number, ...)
{
    begin();
    va_list rest;
    va_start(rest, number);
    long a[6];
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(rest, long);
    }
    va_end(rest);
    struct timespec until;
    int is_moved = control && (control->monotonic_ns || control->speed);
    if (number == SYS_futex && is_moved && a[3] &&
        (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && !(a[1] & FUTEX_CLOCK_REALTIME)) {
        until = *(const struct timespec *)a[3];
        add(&until, -control->monotonic_ns);
        int64_t ahead = nanoseconds_of(&until) - started_ns;
        if (control->speed && ahead > 0) {
            add(&until, ahead / control->speed - ahead);
        }
        a[3] = (long)&until;
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
