/*
 * The protocol between sidecar and runner over the unix socket. A frame is a length (4 bytes,
 * little endian, of all bytes that follow), a type (1 byte) and fields. Integers are little endian;
 * a text has its length in front.
 *
 *   runner                                 sidecar
 *     HELLO {version, token}          ->              the first frame of a connection; the runner
 *                                                     sends no more before the answer
 *                                     <-  WELCOME {}
 *                                     <-  EXEC {id, label, user, work dir, argv, env,
 *                                               stdin file, confined, stdin}
 *                                         or WRITE {id, user, kind, mode, confined, fuzz, path,
 *                                               content}
 *     OUT {id, fd, bytes}...          ->
 *                                     <-  KILL {id, grace in ms}
 *     DONE {id, how, value, duration, text} ->        the last frame of this id
 *
 * Each side treats the other's bytes as hostile input: a frame of another form ends the connection.
 * A frame is at most FRAMES_MAX long; an OUT carries at most LIMIT_EVENT_CHUNK_BYTES.
 */
#ifndef ARL_SIDECAR_RUNNER_FRAMES_H
#define ARL_SIDECAR_RUNNER_FRAMES_H

#include "common/base/base.h"
#include "common/base/limits.h"

#define FRAMES_VERSION 8
#define FRAMES_MAX LIMIT_RUNNER_FRAME_BYTES
/* The most bytes of a sentence, with its NUL. A longer one ends the connection. */
#define FRAME_TEXT_MAX 480
#define FRAMES_TOKEN_BYTES 32
#define FRAMES_HELLO_BYTES (4 + 1 + 4 + 4 + FRAMES_TOKEN_BYTES)

/* Files beside the runner's socket (sidecar/link/runner_folder.h). */
#define FRAMES_RUNNER_FILE "runner"
#define FRAMES_SECRET_FILE "secret"
/* It exists if no other container of the pod runs steps. */
#define FRAMES_ALONE_FILE "alone"

enum frame_type {
    FRAME_HELLO = 1,
    FRAME_OUT = 2,
    FRAME_DONE = 3,
    FRAME_WELCOME = 65,
    FRAME_EXEC = 66,
    FRAME_WRITE = 67,
    FRAME_KILL = 68,
};

/* The content of a WRITE. */
enum frame_write {
    FRAME_WRITE_CONTENT, /* all of the file */
    FRAME_WRITE_PATCH,   /* a unified diff for the file */
    FRAME_WRITE_PATCHES, /* a diff that names its files itself, below the path */
    FRAME_WRITE_COUNT,
};
/* No mode is given: the file keeps its mode, a new file gets 0644. */
#define FRAME_MODE_UNSET UINT32_MAX

/* The text of a DONE with FRAME_EXITED or FRAME_SIGNALED: the kernel has killed a process of the
 * container for want of memory while the step ran. */
#define FRAME_TEXT_OOM "out of memory"

/* How something ended, and what `value` says about it. */
enum frame_how {
    FRAME_EXITED,       /* exit status */
    FRAME_SIGNALED,     /* number of the signal */
    FRAME_USER_REFUSED, /* 0, and a text: nothing ran */
    FRAME_STDIN_FAILED, /* errno: the file for stdin cannot be used; nothing ran */
    FRAME_CHDIR_FAILED, /* errno: the work directory cannot be used; nothing ran */
    FRAME_EXEC_FAILED,  /* errno: the program could not be started */
    FRAME_WRITE_FAILED, /* errno: the file was not written */
    FRAME_SPAWN_FAILED, /* errno: no process or no pipe could be made */
    FRAME_NOT_A_FILE,   /* 0: the path is not a regular file, and was left alone */
    FRAME_PATCH_FAILED, /* 0, and a text: all files were left alone */
    FRAME_LINK_REFUSED, /* enum walk_refusal: a symbolic link on the way was not followed */
    FRAME_STOPPED,      /* 0: the container is being ended from outside, and the step with it */
    FRAME_HOW_COUNT,
};

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Bytes to be sent, or bytes received and not yet read. Initialize it with zeroes. */
struct frame_buf {
    unsigned char *data;
    size_t len;
    size_t alloc;
};
void frame_buf_done(struct frame_buf *b);
/* Room for n more bytes behind len; the memory may move. */
unsigned char *frame_buf_reserve(struct frame_buf *b, size_t n);
/* Drops the first n bytes. Frees the memory when no byte is left: an idle runner keeps no memory.
 */
void frame_buf_consume(struct frame_buf *b, size_t n);
/* The same, but keeps up to `keep` bytes of memory. */
void frame_buf_consume_keep(struct frame_buf *b, size_t n, size_t keep);

/* ---- writing --------------------------------------------------------------------------------- */

/* frame_begin() ... frame_end(where it began): appends one frame. */
size_t frame_begin(struct frame_buf *b, enum frame_type type);
void frame_put_u32(struct frame_buf *b, uint32_t v);
void frame_put_u64(struct frame_buf *b, uint64_t v);
void frame_put_bytes(struct frame_buf *b, const void *data, size_t len);
void frame_put_text(struct frame_buf *b, const char *s); /* NULL reads as "" */
void frame_end(struct frame_buf *b, size_t start);

/* ---- reading --------------------------------------------------------------------------------- */

/* The fields of one frame. Reading past the end sets `bad` and gives zeroes from then on. */
struct frame_reader {
    const unsigned char *p;
    size_t left;
    bool bad;
};
/*
 * Reads the frame at the front of b. 1: type and fields are set; the fields point into b, and the
 * caller consumes *ret_size bytes after use. 0: the frame is not complete yet. -EPROTO: no frame
 * can begin like this.
 */
int frame_next(const struct frame_buf *b, enum frame_type *ret_type, struct frame_reader *ret,
               size_t *ret_size);
uint32_t frame_get_u32(struct frame_reader *r);
uint64_t frame_get_u64(struct frame_reader *r);
const void *frame_get_bytes(struct frame_reader *r, size_t *ret_len);
/* An owned copy; a text with a NUL byte in it is bad. Never NULL. */
char *frame_get_text(struct frame_reader *r);
/* A list of texts (count, then each), NULL-terminated; the caller frees it with frame_list_free().
 */
char **frame_get_list(struct frame_reader *r, size_t *ret_count);
void frame_list_free(char ***list);
/* Whether all fields were read well and no bytes are left. */
bool frame_complete(const struct frame_reader *r);

#endif
