#include "sidecar/runner/oom_kills.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#define TEXT_BYTES 512

static int open_on(const char *path, long magic)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct statfs fs;

    if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == magic)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int oom_kills_open(void)
{
    int fd = open_on("/sys/fs/cgroup/memory.events", CGROUP2_SUPER_MAGIC);

    return fd >= 0 ? fd : open_on("/sys/fs/cgroup/memory/memory.oom_control", CGROUP_SUPER_MAGIC);
}

int64_t oom_kills_parse(const char *text)
{
    static const char name[] = "oom_kill ";
    int64_t n = 0;

    while (strncmp(text, name, strlen(name)) != 0) {
        text += strcspn(text, "\n");
        if (!*text)
            return 0;
        text++;
    }
    for (text += strlen(name); *text >= '0' && *text <= '9' && n < INT64_MAX / 20; text++)
        n = 10 * n + (*text - '0');
    return n;
}

int64_t oom_kills_count(int fd)
{
    char text[TEXT_BYTES];
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return oom_kills_parse(text);
}
