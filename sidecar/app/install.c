#include "sidecar/app/install.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "common/base/write_all.h"
#include "sidecar/auth/agent_key.h"
#include "sidecar/disk/journal.h"
#include "sidecar/link/runner_folder.h"

int install_runner(const char *dir, const char *name, const char *runner, bool alone,
                   const char *state, struct err *err)
{
    unsigned char secret[FRAMES_TOKEN_BYTES];
    struct journal *journal = NULL;
    int r = journal_open(state, &journal, err);

    if (r < 0)
        return r;
    randombytes_buf(secret, sizeof(secret));
    r = journal_set_token(journal, name, secret, err);
    if (r == 0)
        r = runner_folder_renew(dir, name, runner, alone, secret, err);
    sodium_memzero(secret, sizeof(secret));
    journal_free(journal);
    return r;
}

/* The kubelet has made this file, and only this container has it. */
static int write_message(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r;

    if (fd < 0)
        return -errno;
    r = write_all(fd, text, strlen(text));
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
