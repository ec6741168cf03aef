#include "sidecar/runner/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

/* How many processes one look reads. The kernel's default for pid_max is 32768, and a pod's limit
 * is far lower. More are read by the next look, when there are fewer. */
#define TREE_MAX 65536
/* How often a tree is read that grows faster than it can be stopped. The next tree_kill() goes on.
 */
#define FREEZE_ROUNDS 16

struct process {
    pid_t pid;
    pid_t parent;
    bool below;
};

struct processes {
    struct process *list;
    size_t count;
    size_t alloc;
    int error; /* why some of them are not told; 0: all are */
};

static void processes_done(struct processes *p)
{
    free(p->list);
}

int tree_open(void)
{
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    char self[16] = "", want[16];
    struct statfs fs;

    if (fd < 0)
        return -1;
    snprintf(want, sizeof(want), "%d", (int)getpid());
    if (fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC &&
        readlinkat(fd, "self", self, sizeof(self) - 1) > 0 && strcmp(self, want) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The fourth field of /proc/PID/stat; the second is a name in parentheses that may hold anything.
 * 0, or a negative errno: -ESRCH if the process is gone. */
static int parent_of(int proc, pid_t pid, int *ret)
{
    char name[32], text[512];
    const char *paren;
    ssize_t n;
    int fd, e;

    snprintf(name, sizeof(name), "%d/stat", (int)pid);
    fd = openat(proc, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    n = read(fd, text, sizeof(text) - 1);
    e = errno;
    close(fd);
    if (n < 0)
        return -e;
    text[n] = '\0';
    paren = strrchr(text, ')');
    return paren && sscanf(paren + 1, " %*c %d", ret) == 1 ? 0 : -EIO;
}

static void add(struct processes *p, pid_t pid, pid_t parent)
{
    if (p->count == p->alloc) {
        p->alloc = p->alloc ? 2 * p->alloc : 64;
        p->list = xrealloc(p->list, p->alloc * sizeof(*p->list));
    }
    p->list[p->count++] = (struct process){.pid = pid, .parent = parent};
}

/* A fresh description of the folder, since its position is read from the start. */
static DIR *open_list(int proc)
{
    int fd = proc < 0 ? -1 : openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

/* One process of the container. A process of the same user can prevent us from reading it (by the
 * limit of open files). A process that cannot be read still counts as there. */
static void look(int proc, pid_t pid, struct processes *p)
{
    int parent, r = parent_of(proc, pid, &parent);

    if (r == 0)
        add(p, pid, parent);
    else if (r != -ESRCH)
        p->error = r;
}

static int scan(int proc, struct processes *p)
{
    DIR *dir = open_list(proc);
    struct dirent *e;

    if (!dir)
        return -ENOENT;
    while (p->count < TREE_MAX && (errno = 0, e = readdir(dir))) {
        char *end;
        long pid = strtol(e->d_name, &end, 10);

        if (pid > 0 && *end == '\0')
            look(proc, (pid_t)pid, p);
    }
    if (p->count == TREE_MAX)
        p->error = -EAGAIN;
    else if (errno)
        p->error = -errno;
    closedir(dir);
    return 0;
}

static int by_pid(const void *a, const void *b)
{
    const struct process *x = a, *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool is_below(const struct processes *p, pid_t parent, pid_t root)
{
    const struct process key = {.pid = parent}, *x;

    if (parent == root)
        return true;
    x = bsearch(&key, p->list, p->count, sizeof(*p->list), by_pid);
    return x && x->below;
}

static bool is_spared(const struct tree *t, pid_t pid)
{
    size_t i = 0;

    while (i < t->spared_count && t->spared[i] != pid)
        i++;
    return i < t->spared_count;
}

/* Marks the closure of "is a child of". Parents mostly have lower numbers, so few rounds do it. */
static void mark(struct processes *p, const struct tree *t)
{
    bool again = true;

    qsort(p->list, p->count, sizeof(*p->list), by_pid);
    while (again) {
        again = false;
        for (size_t i = 0; i < p->count; i++) {
            struct process *x = &p->list[i];

            if (!x->below && x->pid != t->root && is_below(p, x->parent, t->root) &&
                !is_spared(t, x->pid))
                again = x->below = true;
        }
    }
}

static int send_below(const struct tree *t, int sig, int then)
{
    CLEANUP(processes_done) struct processes p = {0};
    int found = 0;
    int r = scan(t->proc, &p);

    if (r < 0)
        return r;
    if (p.count > 0)
        mark(&p, t);
    for (size_t i = 0; i < p.count; i++) {
        if (!p.list[i].below)
            continue;
        found++;
        kill(p.list[i].pid, sig);
        if (then)
            kill(p.list[i].pid, then);
    }
    return p.error ? p.error : found;
}

int tree_signal(const struct tree *t, int sig)
{
    return send_below(t, sig, SIGCONT);
}

int tree_kill(const struct tree *t)
{
    int before = -1, n = 0;

    for (int i = 0; i < FREEZE_ROUNDS && n != before && n >= 0; i++) {
        before = n;
        n = send_below(t, SIGSTOP, 0);
    }
    return send_below(t, SIGKILL, 0);
}
