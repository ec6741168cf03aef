#include "sidecar/runner/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Processes looked at; the kernel's own default for pid_max is 32768, a pod's limit is far lower.
 * What is above waits for the next look, when there are fewer. */
#define TREE_MAX 65536
/* Looks at a tree that grows faster than it can be stopped; the next tree_kill() goes on. */
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
};

static void processes_done(struct processes *p)
{
    free(p->list);
}

/* The fourth field of /proc/PID/stat; the second is a name in parentheses that may hold anything.
 */
static pid_t parent_of(pid_t pid)
{
    char name[32], text[512];
    const char *paren;
    ssize_t n;
    int fd, parent = -1;

    snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[MAX(n, 0)] = '\0';
    paren = strrchr(text, ')');
    return paren && sscanf(paren + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

static void add(struct processes *p, pid_t pid, pid_t parent)
{
    if (p->count == p->alloc) {
        p->alloc = p->alloc ? 2 * p->alloc : 64;
        p->list = xrealloc(p->list, p->alloc * sizeof(*p->list));
    }
    p->list[p->count++] = (struct process){.pid = pid, .parent = parent};
}

static int scan(struct processes *p)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    bool mounted = false;

    if (!dir)
        return -ENOENT;
    while (p->count < TREE_MAX && (e = readdir(dir))) {
        char *end;
        long pid = strtol(e->d_name, &end, 10);

        if (pid > 0 && *end == '\0') {
            mounted = true;
            add(p, (pid_t)pid, parent_of((pid_t)pid));
        }
    }
    closedir(dir);
    return mounted ? 0 : -ENOENT;
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

/* Marks the closure of "is a child of". Parents mostly have lower numbers, so few rounds do it. */
static void mark(struct processes *p, pid_t root)
{
    bool again = true;

    qsort(p->list, p->count, sizeof(*p->list), by_pid);
    while (again) {
        again = false;
        for (size_t i = 0; i < p->count; i++) {
            struct process *x = &p->list[i];

            if (!x->below && x->pid != root && is_below(p, x->parent, root))
                again = x->below = true;
        }
    }
}

static int send_below(pid_t root, int sig, int then)
{
    CLEANUP(processes_done) struct processes p = {0};
    int found = 0;
    int r = scan(&p);

    if (r < 0)
        return r;
    if (p.count > 0)
        mark(&p, root);
    for (size_t i = 0; i < p.count; i++) {
        if (!p.list[i].below)
            continue;
        found++;
        kill(p.list[i].pid, sig);
        if (then)
            kill(p.list[i].pid, then);
    }
    return found;
}

int tree_signal(pid_t root, int sig)
{
    return send_below(root, sig, SIGCONT);
}

int tree_kill(pid_t root)
{
    int before = -1, n = 0;

    for (int i = 0; i < FREEZE_ROUNDS && n != before && n >= 0; i++) {
        before = n;
        n = send_below(root, SIGSTOP, 0);
    }
    return send_below(root, SIGKILL, 0);
}
