#include "sidecar/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/limits.h"
#include "sidecar/agent_key.h"
#include "sidecar/copy.h"
#include "sidecar/journal.h"

static int copy(int from, int to)
{
    int r = copy_bytes(from, to);

    if (r < 0)
        return r;
    return fchmod(to, 0555) < 0 ? -errno : 0;
}

static int copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out, r;

    if (in < 0)
        return -errno;
    out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    if (out < 0) {
        r = -errno;
        close(in);
        return r;
    }
    r = copy(in, out);
    close(in);
    if (close(out) < 0 && r == 0)
        r = -errno;
    return r;
}

int install_forget_token(const char *state, const char *name, struct err *err)
{
    cleanup_free char *path = xasprintf("%s/" JOURNAL_TOKEN_PREFIX "%s", state, name);

    return unlink(path) < 0 && errno != ENOENT ? err_errno(err, errno, "remove %s", path) : 0;
}

int install_runner(const char *dir, const char *name, const char *runner, struct err *err)
{
    cleanup_free char *folder = xasprintf("%s/%s", dir, name);
    cleanup_free char *temp = xasprintf("%s/runner.new", folder);
    cleanup_free char *path = xasprintf("%s/runner", folder);
    int r;

    if (!is_dns_label(name))
        return err_set(err, -EINVAL, "\"%s\" is not the name of a container", name);
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make %s", folder);
    /* The umask may have taken something away. */
    if (chmod(folder, 0755) < 0)
        return err_errno(err, errno, "make %s", folder);
    /* A restarted init container finds the file of the first run, read-only. */
    unlink(temp);
    r = copy_file(runner, temp);
    if (r < 0)
        return err_errno(err, -r, "copy %s to %s", runner, temp);
    return rename(temp, path) < 0 ? err_errno(err, errno, "rename %s", temp) : 0;
}

/* The kubelet's file is there, and is this container's alone. */
static int write_message(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r = 0;
    ssize_t n;

    if (fd < 0)
        return -errno;
    do {
        n = write(fd, text, strlen(text));
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)strlen(text))
        r = n < 0 ? -errno : -ENOSPC;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    return r;
}

int install_key(const char *state, const char *message, struct err *err)
{
    CLEANUP(channel_pair_wipe) struct channel_pair pair;
    char text[sizeof(CHANNEL_KEY_PREFIX) + CHANNEL_KEY_TEXT] = CHANNEL_KEY_PREFIX;
    int r = agent_key_make(state, &pair, err);

    if (r < 0)
        return r;
    channel_key_format(pair.public_key, text + strlen(CHANNEL_KEY_PREFIX));
    r = write_message(message, text);
    return r < 0 ? err_errno(err, -r, "write %s", message) : 0;
}
