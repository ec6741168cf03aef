#include "sidecar/runner/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- lines of JSON --------------------------------------------------------------------------- */

void verb_line_begin(struct json_writer *w, struct buf *b)
{
    *w = (struct json_writer)JSON_WRITER_INIT(b);
    json_w_object(w, NULL);
}

/* The end of the buffer, too. */
int verb_line_end(struct json_writer *w, int fd)
{
    int e;

    json_w_end_object(w);
    buf_putc(w->out, '\n');
    e = w->error ? EOVERFLOW : verb_write(fd, w->out->data, w->out->len);
    buf_done(w->out);
    return e;
}

void verb_line_hash(struct json_writer *w, uint64_t size,
                    const unsigned char digest[SHA256_DIGEST_LENGTH])
{
    char text[VERB_HASH_TEXT];

    verb_hash_format(digest, text);
    json_w_int(w, "size", (int64_t)size);
    json_w_str(w, "sha256", text);
}

/* ---- what went wrong ------------------------------------------------------------------------- */

int verb_tell(const char *code, const char *message, int status)
{
    struct buf b = BUF_INIT(VERB_LINE_BYTES_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);

    verb_line_begin(&w, &b);
    json_w_str(&w, "error", code);
    json_w_str(&w, "message", message);
    verb_line_end(&w, STDERR_FILENO);
    return status;
}

static const struct {
    const char *code;
    const char *message;
} errors[VERB_ERROR_END - VERB_CUT] = {
    [VERB_CUT - VERB_CUT] = {"CUT", "the body ended before its end"},
    [VERB_CHECKSUM - VERB_CUT] = {"CHECKSUM", "the body does not fit its checksum"},
    [VERB_FRAME - VERB_CUT] = {"FRAME", "a frame is longer than 1048576 bytes"},
    [VERB_PATH - VERB_CUT] = {"PATH", "a path is not empty and has no \"..\" component"},
    [VERB_LINK - VERB_CUT] = {"LINK", "a symbolic link belongs to neither root nor the user, and "
                                      "is not followed"},
    [VERB_OUT_OF_VOLUME - VERB_CUT] = {"LINK", "a symbolic link in a volume leads out of that "
                                               "volume, and is not followed"},
    [VERB_NOT_A_FILE - VERB_CUT] = {"NOTAFILE", "not a regular file"},
    [VERB_ARCHIVE - VERB_CUT] = {"ARCHIVE", NULL},
    [VERB_CHANGED - VERB_CUT] = {"CHANGED", "the file became shorter while it was read"},
};

int verb_fail(int e, const char *what)
{
    bool ours = e >= VERB_CUT && e < VERB_ERROR_END;
    const char *code = ours ? errors[e - VERB_CUT].code : strerrorname_np(e);
    const char *why = ours ? errors[e - VERB_CUT].message : strerror(e);
    cleanup_free char *message = why ? xasprintf("%s: %s", what, why) : xstrdup(what);

    return verb_tell(code ? code : "EIO", message, VERB_FAILED);
}

/* ---- paths ----------------------------------------------------------------------------------- */

void verb_walk_done(struct walk *at)
{
    if (at->dir >= 0)
        close(at->dir);
    at->dir = -1;
}

int verb_walk(const struct verb *v, unsigned flags, struct walk *ret)
{
    int e = walk_to(v->path, v->walk | flags, ret);

    if (e == EPERM && ret->refusal)
        return ret->refusal == WALK_OUT_OF_VOLUME ? VERB_OUT_OF_VOLUME : VERB_LINK;
    if (!e && v->for_folder && ret->exists && !S_ISDIR(ret->st.st_mode))
        e = ENOTDIR;
    return e;
}

int verb_open_folder(const struct verb *v, int *ret)
{
    CLEANUP(verb_walk_done) struct walk at = {.dir = -1};
    int e = verb_walk(v, WALK_ROOT, &at), fd;

    if (e || !at.exists)
        return e ? e : ENOENT;
    fd = openat(at.dir, at.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    *ret = fd;
    return 0;
}

int verb_make_folder(int dir, const char *name, mode_t mode)
{
    int fd, e;

    if (mkdirat(dir, name, 0700) < 0)
        return errno;
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    e = fchmod(fd, mode) < 0 ? errno : 0;
    close(fd);
    return e;
}

void verb_input(const struct verb *v, struct verb_in *in)
{
    verb_in_init(in, STDIN_FILENO, v->body, v->size, v->hash_text ? v->hash : NULL);
}
